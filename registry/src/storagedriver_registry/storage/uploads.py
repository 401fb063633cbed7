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
Rule 2: a commit makes the blob and its link durable, and ends the session last. Cut off after the
blob, the session is unknown, and the client's new one finds the blob stored.
Rule 3: one request at a time is at work on a session. Between the workers of one server a lock sees
to that (see `process_locks`). Between servers the record's lock does on a local store (see
`locks`), once there is a record; elsewhere a turn at the session's writer (see `turns`), and before
there is one the record itself, which is replaced only by who has read it. The record is read when
that is sure, so that nobody goes on from an old one. A second request waits a moment for the
first, which may be the client's own: its connection was cut, and what it had sent is being made
durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property

from storagedriver_core import ConflictError, Storage
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.errors import UploadBusyError, UploadUnknownError
from storagedriver_registry.storage.locks import locked
from storagedriver_registry.storage.process_locks import ProcessLocks
from storagedriver_registry.storage.records import Record, RecordStore, UnreadableRecordError
from storagedriver_registry.storage.tickets import Tickets
from storagedriver_registry.storage.turns import settled
from storagedriver_registry.storage.upload_session import UploadSession

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
    """

    def __init__(self, storage: Storage, blobs: BlobStore, tickets: Tickets) -> None:
        self._storage = storage
        self._records = RecordStore(storage)
        self._blobs = blobs
        self._tickets = tickets
        self._locks = ProcessLocks()
        self._held: dict[str, asyncio.Event] = {}
        self._over: OrderedDict[str, None] = OrderedDict()

    # What the storage can do is asked when it is open: some drivers learn it only then.

    @cached_property
    def min_chunk_bytes(self) -> int:
        """Least bytes of a chunk that the store can take as they are; 0 for any.

        Smaller ones are taken, and cost more: what a chunk leaves over of a part is stored once
        more with each.
        """
        return self._storage.capabilities.min_part_size

    @cached_property
    def _is_local(self) -> bool:
        return self._storage.capabilities.local_path

    async def start(self, name: str) -> UploadSession:
        """Begin a session. Stores nothing."""
        upload_id = await self._tickets.new_id()
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
        if upload_id in self._held:
            await self._wait_for(upload_id, patience)
        self._held[upload_id] = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._locks.hold(upload_id, patience))
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

    async def _wait_for(self, upload_id: str, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                while (released := self._held.get(upload_id)) is not None:
                    await released.wait()
        except TimeoutError:
            raise UploadBusyError from None

    async def _take(
        self,
        stack: AsyncExitStack,
        name: str,
        upload_id: str,
        patience: float,
        *,
        may_be_fresh: bool,
    ) -> Record | None:
        """Give the record once no other server is at work on the session."""
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
