"""Files of a directory."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from storagedriver_core import StorageDriverError, finish
from storagedriver_registry.client.errors import (
    DigestMismatchError,
    NotFoundError,
    RegistryError,
)
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer.places import Blob, Chunks

_CHUNK = 1 << 20

_THREAD_SECONDS = 600.0
"""That a cancelled write may go on: a slow disk takes so long at most for what is not on it yet."""

_LOCK_SECONDS = 0.02
"""Between two looks at a lock that somebody else has for a few milliseconds."""

_PARTIAL = ".partial"
"""Folder for what is not whole, beside what is: renaming it is all that is left to do."""


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class LocalFiles:
    """Files below a directory.

    A blob is written below `.partial`, and renamed when it is whole and on the disk. What a kill
    leaves there, or a connection that failed for good, is gone on with; what is cancelled is
    removed.

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
        try:
            return await asyncio.to_thread((self.folder / path).read_bytes)
        except FileNotFoundError:
            return None

    async def size(self, path: str) -> int | None:
        """Give the bytes of a file; None if there is none."""
        try:
            return (await asyncio.to_thread((self.folder / path).stat)).st_size
        except FileNotFoundError:
            return None

    async def chunks(self, path: str, offset: int) -> AsyncGenerator[bytes, None]:
        """Give a file from an offset on."""
        try:
            descriptor = os.open(self.folder / path, os.O_RDONLY | os.O_CLOEXEC)
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
            # An event cannot tell of another process.
            while not _is_locked(lock):  # noqa: ASYNC110
                await asyncio.sleep(_LOCK_SECONDS)
            await self.write(path, make(await self.read(path)))
        finally:
            os.close(lock)

    async def put_blob(self, path: str, blob: Blob, chunks: Chunks) -> None:
        """Store a blob, and go on with one that another run did not end."""
        partial = self.folder / _PARTIAL / f"{blob.digest.algorithm}-{blob.digest.hex}"
        descriptor = _opened(partial)
        try:
            await self._fill(descriptor, blob, chunks)
            await _to_its_end(self._publish, descriptor, partial, path)
        except (RegistryError, StorageDriverError) as error:
            if isinstance(error, DigestMismatchError):
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
        """Remove files, and the folders that become empty, this one too."""
        folders: set[Path] = {self.folder, self.folder / "blobs"}
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)
            folders.add((self.folder / path).parent)
        for folder in sorted(folders, reverse=True):
            with suppress(OSError):
                folder.rmdir()

    async def _fill(self, descriptor: int, blob: Blob, chunks: Chunks) -> None:
        """Write what is missing of a blob."""
        offset, before = await _to_its_end(_hash_of, descriptor, blob)
        if offset == blob.size and before.hexdigest() == blob.digest.hex:
            return
        if offset == blob.size:
            os.ftruncate(descriptor, 0)
            offset, before = 0, hashlib.new(blob.digest.algorithm)
        try:
            await _written(descriptor, chunks, offset, before)
        except DigestMismatchError:
            if offset == 0:
                raise
            # What the other run had left may be what is wrong.
            os.ftruncate(descriptor, 0)
            await _written(descriptor, chunks, 0, hashlib.new(blob.digest.algorithm))

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


def _opened(partial: Path) -> int:
    """Open a partial file that no other process is at work on."""
    while True:
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            # The last one removes the folder.
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The other one may have renamed it, or removed it.
            if os.fstat(descriptor).st_ino == partial.stat().st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise RegistryError(f"{partial}: another process is at work on it") from None
        except FileNotFoundError:
            pass
        os.close(descriptor)


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


async def _written(descriptor: int, chunks: Chunks, offset: int, before: RunningHash) -> None:
    async with aclosing(chunks(offset, before)) as stream:
        async for chunk in stream:
            await _to_its_end(_pwrite, descriptor, chunk, offset)
            offset += len(chunk)


async def _to_its_end(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Do what blocks in a thread, which a cancellation waits for: no thread can be stopped.

    Otherwise the thread would go on with a descriptor, or a lock, that is another's by then.
    """
    return await finish(asyncio.to_thread(work, *arguments, **named), _THREAD_SECONDS)


def _pwrite(descriptor: int, chunk: bytes, offset: int) -> None:
    view = memoryview(chunk)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder durable. Blocks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
