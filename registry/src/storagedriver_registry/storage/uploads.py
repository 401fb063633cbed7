"""Upload sessions: blobs on their way, which survive the server.

```text
  start ──► FRESH ── append ──► HELD ── append ──► WRITTEN ◄─ append
            in its ticket       few bytes,         by its token
              │                 in its record        │
              │ commit, cancel    │ commit, cancel   │ commit, cancel
              └────────────────► OVER ◄──────────────┘   nothing is left of it
```

HELD is left out where uploads are not made of parts, and by a first append of many bytes.

Rule 1: an append that was answered is durable, and so is the record that finds it again. Whatever
comes after the last token is sent again: a resumed writer drops it.
Rule 2: a commit makes the blob durable first, then its link, and ends the session last. Cut off
after the first step, the session is unknown, and the client's new one finds the blob stored.
Rule 3: one request at a time is at work on a session. Between processes the record's lock sees to
that on a local store (see `locks`); elsewhere a turn at the session's writer (see `turns`), and
before there is one the record itself, which is replaced only by who has read it. The record is read
when that is sure, so that nobody goes on from an old one. A second request waits a moment for the
first, which may be the client's own: its connection was cut, and what it had sent is being made
durable.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

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
from storagedriver_registry.storage.errors import (
    BodyInterruptedError,
    DigestMismatchError,
    UploadBusyError,
    UploadUnknownError,
)
from storagedriver_registry.storage.locks import locked
from storagedriver_registry.storage.records import (
    MOST_HELD_BYTES,
    Record,
    RecordStore,
    UnreadableRecordError,
)
from storagedriver_registry.storage.tickets import Tickets
from storagedriver_registry.storage.turns import Turn, settled, turn_at

logger = logging.getLogger(__name__)

# A ticket cannot be taken back, so those whose session is over are remembered for a while.
_REMEMBERED_ENDS = 10_000

PATIENCE_SECONDS = 5.0
"""How long a request waits for another one on the same session."""


class UploadStore:
    """The upload sessions of this server and of every other one on the same store.

    Args:
        storage: Where records and bytes are kept.
        blobs: Where finished uploads go.
        tickets: What vouches for sessions that hold nothing yet.

    Attributes:
        min_chunk_bytes: Least bytes of a chunk that the store can take as they are; 0 for any.
            Smaller ones are taken, and cost more.
    """

    def __init__(self, storage: Storage, blobs: BlobStore, tickets: Tickets) -> None:
        self._storage = storage
        self._records = RecordStore(storage)
        # What a chunk leaves over of a part is stored once more with each.
        self.min_chunk_bytes = storage.capabilities.min_part_size
        self._is_local = storage.capabilities.local_path
        self._blobs = blobs
        self._tickets = tickets
        self._held: dict[str, asyncio.Event] = {}
        self._over: OrderedDict[str, None] = OrderedDict()

    async def start(self, name: str) -> UploadSession:
        """Begin a session. Stores nothing."""
        upload_id = str(uuid.uuid4())
        ticket = await self._tickets.issue(name, upload_id)
        return self._session(name, upload_id, ticket, None)

    async def find(self, name: str, upload_id: str, ticket: str) -> UploadSession:
        """Give a session to look at. Another request may be at work on it.

        Args:
            name: The repository that it was started in.
            upload_id: Its id.
            ticket: What its Location carried; empty if nothing.

        Raises:
            UploadUnknownError: It is over, was begun by another server, or never began.
        """
        return await self._found(name, upload_id, ticket, self._records.load(name, upload_id))

    @asynccontextmanager
    async def hold(
        self, name: str, upload_id: str, ticket: str, *, patience: float | None = None
    ) -> AsyncIterator[UploadSession]:
        """Give a session to work on, to nobody else meanwhile.

        Takes and raises what `find` does.

        Args:
            name: The repository.
            upload_id: The session's id.
            ticket: What its Location carried.
            patience: Seconds to wait for another request; by default `PATIENCE_SECONDS`.

        Raises:
            UploadBusyError: Another request is at work on it, and does not end.
        """
        if patience is None:
            patience = PATIENCE_SECONDS
        try:
            async with asyncio.timeout(patience):
                while (released := self._held.get(upload_id)) is not None:
                    await released.wait()
        except TimeoutError:
            raise UploadBusyError from None
        self._held[upload_id] = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                taken = self._take(stack, name, upload_id, patience, may_be_fresh=bool(ticket))
                session = await self._found(name, upload_id, ticket, taken)
                try:
                    yield session
                finally:
                    if session.is_over:
                        self._remember(upload_id)
        except ConflictError as error:
            raise UploadBusyError from error
        finally:
            self._held.pop(upload_id).set()

    async def _take(
        self,
        stack: AsyncExitStack,
        name: str,
        upload_id: str,
        patience: float,
        *,
        may_be_fresh: bool,
    ) -> Record | None:
        """Give the record once no other process is at work on the session."""
        if not self._is_local:
            return await settled(self._records, name, upload_id, patience)
        # Without a record there is nothing to lock: one look is enough for most pushes.
        if may_be_fresh and await self._records.load(name, upload_id) is None:
            return None
        path = paths.upload_token(name, upload_id)
        while True:
            is_locked = await stack.enter_async_context(locked(self._storage, path, patience))
            record = await self._records.load(name, upload_id)
            if is_locked or record is None:
                return record

    async def _found(
        self, name: str, upload_id: str, ticket: str, loading: Awaitable[Record | None]
    ) -> UploadSession:
        try:
            record = await loading
        except UnreadableRecordError:
            logger.warning("upload %s of %s has a record that cannot be read", upload_id, name)
            raise UploadUnknownError(upload_id) from None
        if record is not None:
            ticket = ""
            if record.is_over:
                raise UploadUnknownError(upload_id)
        elif upload_id in self._over or not (
            ticket and await self._tickets.is_valid(ticket, name, upload_id)
        ):
            raise UploadUnknownError(upload_id)
        return self._session(name, upload_id, ticket, record)

    def _session(
        self, name: str, upload_id: str, ticket: str, record: Record | None
    ) -> UploadSession:
        return UploadSession(
            self._storage, self._records, self._blobs, name, upload_id, ticket, record
        )

    def _remember(self, upload_id: str) -> None:
        self._over[upload_id] = None
        if len(self._over) > _REMEMBERED_ENDS:
            self._over.popitem(last=False)


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

    async def append(self, chunks: AsyncIterator[bytes]) -> None:
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
                chunks = _chain(gathered, chunks)
            else:
                chunks = _chain(self._held(), chunks)
        async with self._having_turn(), await self._open_writer() as writer:
            try:
                async for chunk in chunks:
                    await writer.write(chunk)
            except BodyInterruptedError:
                await self._save(writer)
                raise
            await self._save(writer)

    async def commit(self, digest: Digest, chunks: AsyncIterator[bytes]) -> None:
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
            await self._blobs.link(self.name, digest)
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

    async def _publish(self, digest: Digest, chunks: AsyncIterator[bytes]) -> None:
        if not self._is_written:
            await self._blobs.put(digest, _chain(self._held(), chunks))
            return
        async with await self._open_writer() as writer:
            # Ahead of its token: a commit was cut off before the move to the blob.
            is_whole = writer.offset > self.offset
            async for chunk in chunks:
                if not is_whole:
                    await writer.write(chunk)
            await self._blobs.publish(writer, digest)

    @property
    def _is_written(self) -> bool:
        """Whether there is a writer to resume."""
        return self._record is not None and self._record.token is not None

    def _held(self) -> list[bytes]:
        return [] if self._record is None else [self._record.held]

    async def _hold(self, chunks: AsyncIterator[bytes]) -> list[bytes] | None:
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


async def _chain(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in first:
        yield chunk
    first.clear()
    async for chunk in rest:
        yield chunk
