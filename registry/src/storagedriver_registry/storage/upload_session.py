"""One upload session: its bytes appended, its blob published. See `uploads` for the rules."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from storagedriver_core import (
    ConflictError,
    FileWriter,
    Storage,
    StorageDriverError,
    UploadNotFoundError,
)
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.bodies import Chunk, chained
from storagedriver_registry.storage.errors import (
    BodyInterruptedError,
    DigestMismatchError,
    UploadBusyError,
    UploadUnknownError,
)
from storagedriver_registry.storage.records import MOST_HELD_BYTES, Record, RecordStore
from storagedriver_registry.storage.turns import Turn, turn_at

logger = logging.getLogger(__name__)


class UploadSession:
    """One session, in the hands of one request.

    Attributes:
        name: The repository.
        id: The session's id.
        ticket: What its Location has to carry; empty once a record is stored.
        is_over: Whether it was committed or cancelled.
    """

    def __init__(
        self,
        storage: Storage,
        records: RecordStore,
        blobs: BlobStore,
        name: str,
        upload_id: str,
        ticket: str,
        record: Record | None,
    ) -> None:
        self.name = name
        self.id = upload_id
        self.ticket = ticket
        self.is_over = False
        self._storage = storage
        self._records = records
        self._blobs = blobs
        self._record = record
        self._turn: Turn | None = None

    @property
    def offset(self) -> int:
        """Bytes that are durable."""
        return 0 if self._record is None else self._record.offset

    async def append(self, chunks: AsyncIterator[Chunk]) -> None:
        """Take bytes; they and the record are durable when it returns.

        Raises:
            BodyInterruptedError: The client went away. What had come is kept, and durable.
            UploadBusyError: Another process is at work on the session.
            UploadUnknownError: What was stored of it is gone.
        """
        if not self._is_written:
            if self._records.holds_bytes:
                gathered = await self._hold(chunks)
                if gathered is None:
                    return
                chunks = chained(gathered, chunks)
            else:
                chunks = chained(self._held(), chunks)
        async with self._having_turn(), await self._open_writer() as writer:
            try:
                async for chunk in chunks:
                    await writer.write(chunk, frozen=True)
            except BodyInterruptedError:
                await self._save(writer)
                raise
            await self._save(writer)

    async def commit(self, digest: Digest, chunks: AsyncIterator[Chunk]) -> None:
        """Take the last bytes, publish the blob, link it to the repository, and end.

        If the client goes away, the session stays as it was before.

        Raises:
            DigestMismatchError: All bytes together have another digest. The session is over.
            BodyInterruptedError: The client went away.
            UploadBusyError: Another process is at work on the session.
            UploadUnknownError: What was stored of it is gone.
        """
        async with self._having_turn():
            try:
                await self._publish(digest, chunks)
            except DigestMismatchError:
                await self._end()
                raise
            if not await self._end():
                # What it was told to publish is published; what came since is not lost.
                logger.warning("upload %s of %s goes on after its commit", self.id, self.name)

    async def cancel(self) -> None:
        """Drop everything that came.

        Raises:
            UploadBusyError: Another process is at work on the session.
        """
        async with self._having_turn():
            if self._is_written:
                with suppress(UploadUnknownError):
                    await (await self._open_writer()).cancel()
            if not await self._end():
                raise UploadBusyError

    @asynccontextmanager
    async def _having_turn(self) -> AsyncIterator[None]:
        """Keep other processes from the session's writer, where that is not the lock's work.

        Held bytes need no turn: whoever replaces or ends their record has read it.
        """
        if self._record is None or not (self._is_written and self._records.compares):
            yield
            return
        async with turn_at(self._records, self.name, self.id, self._record) as self._turn:
            yield

    async def _publish(self, digest: Digest, chunks: AsyncIterator[Chunk]) -> None:
        if not self._is_written:
            held = self._held()
            await self._blobs.add(self.name, digest, chained(held, chunks) if held else chunks)
            return
        async with await self._open_writer() as writer:
            # Ahead of its token: a commit was cut off before the move to the blob.
            is_whole = writer.offset > self.offset
            async for chunk in chunks:
                if not is_whole:
                    await writer.write(chunk, frozen=True)
            await self._blobs.publish(writer, digest)
        await self._blobs.link(self.name, digest)

    @property
    def _is_written(self) -> bool:
        """Whether there is a writer to resume."""
        return self._record is not None and self._record.token is not None

    def _held(self) -> list[Chunk]:
        return [] if self._record is None else [self._record.held]

    async def _hold(self, chunks: AsyncIterator[Chunk]) -> list[Chunk] | None:
        """Hold the bytes that come with those that are held; give all if they are too many."""
        gathered = self._held()
        size = self.offset
        try:
            async for chunk in chunks:
                gathered.append(chunk)
                size += len(chunk)
                if size > MOST_HELD_BYTES:
                    return gathered
        except BodyInterruptedError:
            await self._store(Record(None, b"".join(gathered)))
            raise
        await self._store(Record(None, b"".join(gathered)))
        return None

    async def _open_writer(self) -> FileWriter:
        if self._record is None or self._record.token is None:
            return await self._storage.writer(paths.upload_data(self.name, self.id))
        try:
            return await self._storage.resume(self._record.token)
        except UploadNotFoundError:
            await self._end()
            raise UploadUnknownError(self.id) from None

    async def _save(self, writer: FileWriter) -> None:
        if writer.offset == self.offset:
            return  # nothing came: leaving the writer alone leaves the session as it was
        is_resumed = self._is_written
        token = await writer.suspend()
        try:
            await self._store(Record(token))
        except ConflictError:
            if not is_resumed:  # nobody else knows this writer
                await (await self._storage.resume(token)).cancel()
            raise

    async def _store(self, record: Record) -> None:
        if record.offset == self.offset:
            return
        if self._turn is not None:
            self._record = await self._turn.replace(record)
        else:
            self._record = await self._records.save(self.name, self.id, record, self._record)
        self.ticket = ""

    async def _end(self) -> bool:
        """Delete what is stored of the session; False if another process has gone on with it."""
        self.is_over = True
        if self._record is None:
            return True
        try:
            if self._turn is not None:
                await self._turn.end()
            elif self._records.compares:
                over = Record(None, is_over=True)
                await self._records.save(self.name, self.id, over, self._record)
            await self._records.delete(self.name, self.id, self._record)
        except ConflictError:
            self.is_over = False
            return False
        except StorageDriverError as error:
            # What the client asked for is done; the rest ages out by purging.
            logger.warning("upload %s of %s is left to the purge: %s", self.id, self.name, error)
        return True
