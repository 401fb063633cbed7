"""Files of any configured storage: a bucket, a container, a directory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress

from storagedriver_core import (
    AlreadyExistsError,
    ChecksumMismatchError,
    ConflictError,
    FileWriter,
    PathNotFoundError,
    Storage,
    StorageDriverError,
    UploadToken,
    undo_if_cancelled,
)
from storagedriver_registry.client.errors import (
    DigestMismatchError,
    InvalidAnswerError,
    NotFoundError,
    RegistryError,
)
from storagedriver_registry.client.layouts.files import MOST_OF_A_SMALL_FILE
from storagedriver_registry.client.transfer.journal import Entry, Journal
from storagedriver_registry.client.transfer.places import Blob, Chunks

_JOURNALED_BYTES = 4 << 20
_CHECKPOINT_BYTES = 64 << 20
"""Far enough apart that making them durable costs little, near enough to lose little."""

_MOST_CHANGES = 30
"""Each time another has been quicker: one of those who change a file at once always succeeds."""

_CHANGE_SECONDS = 0.01
"""Before the second try; each time so much longer."""

_RESUMABLE = (RegistryError, StorageDriverError)
_WRONG = (DigestMismatchError, ChecksumMismatchError)


class StorageFiles:
    """Files below a path of an open storage.

    Args:
        storage: The storage.
        root: The path, `/images/a`; empty for all of it.
        label: What messages call the storage.
        journal: Where uploads are kept that another run can go on with; None to keep none.
    """

    def __init__(
        self, storage: Storage, root: str, label: str, journal: Journal | None = None
    ) -> None:
        self._storage = storage
        self._root = root.rstrip("/")
        self._label = label
        self._journal = journal

    @property
    def name(self) -> str:
        """The storage and the path."""
        return f"{self._label}:{self._root or '/'}"

    async def read(self, path: str) -> bytes | None:
        """Give a small file; None if there is none."""
        try:
            async with await self._storage.reader(self._path(path)) as reader:
                data = await reader.read(MOST_OF_A_SMALL_FILE + 1)
        except PathNotFoundError:
            return None
        if len(data) > MOST_OF_A_SMALL_FILE:
            raise InvalidAnswerError(f"{self.name}: {path} is too large for what it is")
        return data

    async def size(self, path: str) -> int | None:
        """Give the bytes of a file; None if there is none."""
        try:
            return (await self._storage.stat(self._path(path))).size
        except PathNotFoundError:
            return None

    async def chunks(self, path: str, offset: int) -> AsyncGenerator[bytes, None]:
        """Give a file from an offset on."""
        try:
            reader = await self._storage.reader(self._path(path), offset=offset)
        except PathNotFoundError:
            raise NotFoundError(f"{self.name}: {path} is not there") from None
        async with reader:
            async for chunk in reader:
                yield chunk

    async def write(self, path: str, data: bytes) -> None:
        """Store a small file, replacing what is there."""
        await self._storage.put_content(self._path(path), data)

    async def change(self, path: str, make: Callable[[bytes | None], bytes]) -> None:
        """Change a small file.

        Where the store can compare and swap, what another has changed meanwhile is changed anew;
        elsewhere the last one wins.

        Raises:
            ConflictError: Others do nothing but change it.
        """
        full, can = self._path(path), self._storage.capabilities
        for attempt in range(1, _MOST_CHANGES + 1):
            etag: str | None = None
            before: bytes | None = None
            try:
                etag = (await self._storage.stat(full)).etag if can.put_if_match else None
                before = await self.read(path)
            except PathNotFoundError:
                pass
            etag = None if before is None else etag
            is_first = before is None and can.put_if_absent
            try:
                data = make(before)
                await self._storage.put_content(full, data, if_match=etag, if_absent=is_first)
            except (ConflictError, AlreadyExistsError):
                if attempt == _MOST_CHANGES:
                    raise
                await asyncio.sleep(attempt * _CHANGE_SECONDS)
            else:
                return

    async def put_blob(self, path: str, blob: Blob, chunks: Chunks) -> bool:
        """Store a blob, and go on with one that another run did not end."""
        full = self._path(path)
        can_resume = self._storage.capabilities.upload and blob.size >= _JOURNALED_BYTES
        if self._journal is None or not can_resume:
            async with aclosing(chunks(0, None)) as stream:
                await self._storage.put_content(
                    full, stream, size=blob.size, digest=str(blob.digest)
                )
            return True
        with self._journal.entry("store", self._label, full, str(blob.digest)) as entry:
            try:
                await self._journaled(full, blob, chunks, entry)
            except BaseException as error:
                # Nobody is to go on with what is cancelled, or wrong.
                if not isinstance(error, _RESUMABLE) or isinstance(error, _WRONG):
                    entry.remove()
                raise
            entry.remove()
        return True

    async def _journaled(self, path: str, blob: Blob, chunks: Chunks, entry: Entry) -> None:
        writer = await self._begun(path, blob, entry)
        try:
            async with aclosing(chunks(writer.offset, None)) as stream:
                since = 0
                async for chunk in stream:
                    await writer.write(chunk)
                    since += len(chunk)
                    if since >= _CHECKPOINT_BYTES:
                        token = await writer.suspend()
                        entry.write(token=token.to_json())
                        writer, since = await self._resumed(token), 0
            await writer.commit(size=blob.size, digest=str(blob.digest))
        except BaseException as error:
            if isinstance(error, _RESUMABLE) and not isinstance(error, _WRONG):
                await writer.aclose()
            else:
                await _drop(writer)
            raise

    async def _begun(self, path: str, blob: Blob, entry: Entry) -> FileWriter:
        kept = entry.read().get("token")
        if kept is not None:
            try:
                return await self._resumed(kept)
            except StorageDriverError:
                # It is over, or not to be understood: a new one begins.
                entry.write()
        return await self._storage.writer(path, max_size=blob.size, hashes=(blob.digest.algorithm,))

    async def _resumed(self, token: UploadToken | str) -> FileWriter:
        # Nobody else knows of it, if this is cancelled.
        return await undo_if_cancelled(self._storage.resume(token), _drop)

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove files."""
        if paths:
            await self._storage.delete_many([self._path(path) for path in paths])

    async def enter(self) -> Crowd:
        """Say that somebody writes here: stores have no way to tell others."""
        return Crowd()

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"


async def _drop(writer: FileWriter) -> None:
    """Cancel an upload, as far as that can be: what ended it is the error to be known."""
    with suppress(StorageDriverError):
        await writer.cancel()


class Crowd:
    """Somebody who may or may not be alone in a store."""

    def is_alone(self) -> bool:
        """Say no: nobody can know."""
        return False

    def close(self) -> None:
        """Do nothing."""
