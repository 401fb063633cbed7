"""Files of a directory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from storagedriver_core import StorageDriverError, finish
from storagedriver_registry.client.errors import (
    BusyError,
    DigestMismatchError,
    InvalidAnswerError,
    NotFoundError,
    RegistryError,
)
from storagedriver_registry.client.layouts.files import MOST_OF_A_SMALL_FILE
from storagedriver_registry.client.layouts.locks import (
    is_locked,
    locked_file,
    missing,
    remove_empty,
    shared_folder,
)
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer.places import Blob, Chunks

_CHUNK = 1 << 20

_WRITEBACK_BYTES = 256 * 1024
"""Of a chunk that the disk begins with at once."""

_THREAD_SECONDS = 600.0
"""That a cancelled write may go on: a slow disk takes so long at most for what is not on it yet."""

_LOCK_SECONDS = 0.02
"""Between two looks at a lock that somebody else has for a few milliseconds."""

_WAIT_SECONDS = 0.2
"""Between two looks at a blob that somebody else writes."""

_STUCK_SECONDS = 600.0
"""That somebody else may write nothing of a blob: with a registry that has to be asked often, and a
slow disk at the end."""

_PARTIAL = ".partial"
"""Folder for what is not whole, beside what is: renaming it is all that is left to do."""


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class LocalFiles:
    """Files below a directory.

    A blob is written below `.partial`, and renamed when it is whole and on the disk. What a kill
    leaves there, or a connection that failed for good, is gone on with; what is cancelled is
    removed. Of several who want the same blob one writes it, and the others wait.

    Args:
        folder: The directory; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The directory."""
        return str(self.folder)

    async def read(self, path: str) -> bytes | None:
        """Give a small file; None if there is none."""
        return await asyncio.to_thread(self._read, path)

    async def size(self, path: str) -> int | None:
        """Give the bytes of a file; None if there is none."""
        try:
            about = await asyncio.to_thread((self.folder / path).stat)
        except FileNotFoundError:
            return None
        return about.st_size if stat.S_ISREG(about.st_mode) else None

    async def chunks(self, path: str, offset: int) -> AsyncGenerator[bytes, None]:
        """Give a file from an offset on."""
        try:
            descriptor = _opened(self.folder / path)
        except FileNotFoundError:
            raise NotFoundError(f"{self.folder / path} is not there") from None
        try:
            while chunk := await asyncio.to_thread(os.pread, descriptor, _CHUNK, offset):
                offset += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    async def write(self, path: str, data: bytes) -> None:
        """Store a small file, replacing what is there."""
        await _to_its_end(self._write, path, data)

    async def change(self, path: str, make: Callable[[bytes | None], bytes]) -> None:
        """Change a small file; other processes that do so wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # No thread may wait for it: who has it needs threads to get on.
            while not is_locked(lock):  # noqa: ASYNC110  # a file lock wakes no event
                await asyncio.sleep(_LOCK_SECONDS)
            await self.write(path, make(await self.read(path)))
        finally:
            os.close(lock)

    async def put_blob(self, path: str, blob: Blob, chunks: Chunks) -> bool:
        """Store a blob, and go on with one that another run did not end.

        Returns:
            Whether it was stored here; False if somebody else has done so meanwhile.

        Raises:
            BusyError: Somebody else is at work on it, and does not get on.
        """
        partial = self.folder / _PARTIAL / f"{blob.digest.algorithm}-{blob.digest.hex}"
        descriptor = await _had(partial)
        try:
            if await self.size(path) == blob.size:
                partial.unlink(missing_ok=True)
                return False
            await self._fill(descriptor, partial, blob, chunks)
            await _to_its_end(self._publish, descriptor, partial, path)
            return True
        except (RegistryError, StorageDriverError) as error:
            if isinstance(error, DigestMismatchError) or os.fstat(descriptor).st_size == 0:
                partial.unlink(missing_ok=True)
            raise
        except BaseException:
            # Cancelled, or the disk is full: nothing is left behind.
            partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
            with suppress(OSError):
                partial.parent.rmdir()

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove files."""
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)

    async def enter(self) -> LocalPresence:
        """Say that somebody writes here; whoever is removing files is waited for."""
        blobs = self.folder / "blobs"
        made = missing(blobs)
        while (descriptor := shared_folder(blobs)) is None:  # noqa: ASYNC110  # no event
            await asyncio.sleep(_LOCK_SECONDS)
        return LocalPresence(blobs, descriptor, made)

    async def _fill(self, descriptor: int, partial: Path, blob: Blob, chunks: Chunks) -> None:
        """Write what is missing of a blob."""
        offset, before = await _to_its_end(_hash_of, descriptor, blob)
        if offset == blob.size and before.hexdigest() == blob.digest.hex:
            return
        if offset == blob.size:
            os.ftruncate(descriptor, 0)
            offset, before = 0, hashlib.new(blob.digest.algorithm)
        try:
            await _written(descriptor, partial, chunks, offset, before)
        except DigestMismatchError:
            if offset == 0:
                raise
            # What the other run had left may be what is wrong.
            os.ftruncate(descriptor, 0)
            before = hashlib.new(blob.digest.algorithm)
            await _written(descriptor, partial, chunks, 0, before)

    def _read(self, path: str) -> bytes | None:
        try:
            descriptor = _opened(self.folder / path)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MOST_OF_A_SMALL_FILE + 1)
        if len(data) > MOST_OF_A_SMALL_FILE:
            raise InvalidAnswerError(f"{self.folder / path} is too large for what it is")
        return data

    def _publish(self, descriptor: int, partial: Path, path: str) -> None:
        final = self.folder / path
        os.fsync(descriptor)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(final)
        sync_folder(final.parent)

    def _write(self, path: str, data: bytes) -> None:
        final = self.folder / path
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(final)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(final.parent)


def _opened(path: Path) -> int:
    """Open a file for reading. Anything else may give bytes for ever, or never."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidAnswerError(f"{path} is no file")
    return descriptor


class LocalPresence:
    """Somebody who writes in a layout: shares the lock of its folder of blobs.

    Args:
        blobs: The folder.
        descriptor: The folder, locked.
        made: Folders that were not there before, the innermost first.
    """

    def __init__(self, blobs: Path, descriptor: int, made: Sequence[Path]) -> None:
        self._blobs = blobs
        self._descriptor = descriptor
        self._made = made

    def is_alone(self) -> bool:
        """Tell whether nobody else is there, and keep others out."""
        return is_locked(self._descriptor)

    def close(self) -> None:
        """Leave, and let others in again. The last one removes folders that have stayed empty."""
        if is_locked(self._descriptor):
            remove_empty([*self._blobs.glob("*"), self._blobs, *self._made])
        os.close(self._descriptor)


async def _had(partial: Path) -> int:
    """Open a partial file, to have it alone; wait for who has it, as long as that gets on."""
    loop = asyncio.get_running_loop()
    before, since = (-1, -1), loop.time()
    while (descriptor := locked_file(partial)) is None:
        with suppress(FileNotFoundError):
            about = await asyncio.to_thread(partial.stat)
            state = (about.st_size, about.st_mtime_ns)
            if state != before:
                before, since = state, loop.time()
        if loop.time() - since >= _STUCK_SECONDS:
            raise BusyError(
                f"{partial}: another process has it, and has written nothing for "
                f"{_STUCK_SECONDS:g} s"
            )
        await asyncio.sleep(_WAIT_SECONDS)
    return descriptor


def _hash_of(descriptor: int, blob: Blob) -> tuple[int, RunningHash]:
    """Give the bytes that are there, and their hash; what is too long is dropped."""
    digest = hashlib.new(blob.digest.algorithm)
    if os.fstat(descriptor).st_size > blob.size:
        os.ftruncate(descriptor, 0)
    offset = 0
    while chunk := os.pread(descriptor, _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return offset, digest


async def _written(
    descriptor: int, path: Path, chunks: Chunks, offset: int, before: RunningHash
) -> None:
    async with aclosing(chunks(offset, before)) as stream:
        async for chunk in stream:
            try:
                await _to_its_end(_pwrite, descriptor, chunk, offset)
            except OSError as error:
                # The system does not say which file it was.
                raise OSError(error.errno, error.strerror, str(path)) from error
            offset += len(chunk)


async def _to_its_end(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Do what blocks in a thread, which a cancellation waits for: no thread can be stopped.

    Otherwise the thread would go on with a descriptor, or a lock, that is another's by then.
    """
    return await finish(asyncio.to_thread(work, *arguments, **named), _THREAD_SECONDS)


def _pwrite(descriptor: int, chunk: bytes, offset: int) -> None:
    view, end = memoryview(chunk), offset
    while view:
        count = os.pwrite(descriptor, view, end)
        view, end = view[count:], end + count
    if len(chunk) >= _WRITEBACK_BYTES and sys.platform == "linux":
        # Linux begins to write it to the disk, and keeps what is on its way there. So the sync at
        # the end has little left to wait for. A system that takes no advice is none the worse.
        with suppress(OSError):
            os.posix_fadvise(descriptor, offset, len(chunk), os.POSIX_FADV_DONTNEED)


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder durable. Blocks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
