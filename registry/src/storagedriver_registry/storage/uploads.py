"""Upload sessions: blobs on their way, which survive the server.

```text
  start ──► FRESH ── append ──► STORED ◄─ append
            in its ticket       in its token, under _uploads/<id>/
              │ commit, cancel    │ commit, cancel
              └────────► OVER ◄───┘        nothing is left of it
```

Rule 1: an append that was answered is durable, and so is the token that finds it again. Whatever
comes after the last token is sent again: a resumed writer drops it.
Rule 2: a commit makes the blob durable first, then its link, and ends the session last. Cut off
after the first step, the session is unknown, and the client's new one finds the blob stored.
Rule 3: one request at a time is at work on a session. Between processes the store's writers see to
that. In this process a second request waits a moment for the first, which may be the client's own:
its connection was cut, and what it had sent is being made durable.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from storagedriver_core import (
    ConfigurationError,
    ConflictError,
    FileWriter,
    PathNotFoundError,
    Storage,
    StorageDriverError,
    UploadNotFoundError,
    UploadToken,
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
from storagedriver_registry.storage.tickets import Tickets

logger = logging.getLogger(__name__)

# A ticket cannot be taken back, so those whose session is over are remembered for a while.
_REMEMBERED_ENDS = 10_000

_PATIENCE_SECONDS = 5.0


class UploadStore:
    """The upload sessions of this server and of every other one on the same store.

    Args:
        storage: Where tokens and bytes are kept.
        blobs: Where finished uploads go.
        tickets: What vouches for sessions that hold nothing yet.
    """

    def __init__(self, storage: Storage, blobs: BlobStore, tickets: Tickets) -> None:
        self._storage = storage
        self._blobs = blobs
        self._tickets = tickets
        self._held: dict[str, asyncio.Event] = {}
        self._over: OrderedDict[str, None] = OrderedDict()

    async def start(self, name: str) -> UploadSession:
        """Begin a session. Stores nothing."""
        upload_id = str(uuid.uuid4())
        ticket = await self._tickets.issue(name, upload_id)
        return UploadSession(self._storage, self._blobs, name, upload_id, ticket, None)

    async def find(self, name: str, upload_id: str, ticket: str) -> UploadSession:
        """Give a session to look at. Another request may be at work on it.

        Args:
            name: The repository that it was started in.
            upload_id: Its id.
            ticket: What its Location carried; empty if nothing.

        Raises:
            UploadUnknownError: It is over, was begun by another server, or never began.
        """
        token = await self._load_token(name, upload_id)
        if token is not None:
            ticket = ""
        elif upload_id in self._over or not (
            ticket and await self._tickets.is_valid(ticket, name, upload_id)
        ):
            raise UploadUnknownError(upload_id)
        return UploadSession(self._storage, self._blobs, name, upload_id, ticket, token)

    @asynccontextmanager
    async def hold(self, name: str, upload_id: str, ticket: str) -> AsyncIterator[UploadSession]:
        """Give a session to work on, to nobody else meanwhile.

        Takes and raises what `find` does.

        Raises:
            UploadBusyError: Another request is at work on it, and does not end.
        """
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while (released := self._held.get(upload_id)) is not None:
                    await released.wait()
        except TimeoutError:
            raise UploadBusyError from None
        self._held[upload_id] = asyncio.Event()
        try:
            session = await self.find(name, upload_id, ticket)
            try:
                yield session
            finally:
                if session.is_over:
                    self._remember(upload_id)
        except ConflictError as error:
            raise UploadBusyError from error
        finally:
            self._held.pop(upload_id).set()

    async def _load_token(self, name: str, upload_id: str) -> UploadToken | None:
        try:
            content = await self._storage.get_content(paths.upload_token(name, upload_id))
        except PathNotFoundError:
            return None
        try:
            return UploadToken.from_json(content.decode())
        except (ConfigurationError, UnicodeDecodeError):
            logger.warning("upload %s of %s has a token that cannot be read", upload_id, name)
            raise UploadUnknownError(upload_id) from None

    def _remember(self, upload_id: str) -> None:
        self._over[upload_id] = None
        if len(self._over) > _REMEMBERED_ENDS:
            self._over.popitem(last=False)


class UploadSession:
    """One session, in the hands of one request.

    Attributes:
        name: The repository.
        id: The session's id.
        offset: Bytes that are durable.
        ticket: What its Location has to carry; empty once a token is stored.
        is_over: Whether it was committed or cancelled.
    """

    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        name: str,
        upload_id: str,
        ticket: str,
        token: UploadToken | None,
    ) -> None:
        self.name = name
        self.id = upload_id
        self.offset = 0 if token is None else token.offset
        self.ticket = ticket
        self.is_over = False
        self._storage = storage
        self._blobs = blobs
        self._token = token

    async def append(self, chunks: AsyncIterator[bytes]) -> None:
        """Take bytes; they and the token are durable when it returns.

        Raises:
            BodyInterruptedError: The client went away. What had come is kept, and durable.
            UploadBusyError: Another process is at work on the session.
            UploadUnknownError: What was stored of it is gone.
        """
        async with await self._open_writer() as writer:
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
        try:
            if self._token is None:
                await self._blobs.put(digest, chunks)
            else:
                async with await self._open_writer() as writer:
                    # Ahead of its token: a commit was cut off before the move to the blob.
                    is_whole = writer.offset > self.offset
                    async for chunk in chunks:
                        if not is_whole:
                            await writer.write(chunk)
                    await self._blobs.publish(writer, digest)
        except DigestMismatchError:
            await self._end()
            raise
        await self._blobs.link(self.name, digest)
        await self._end()

    async def cancel(self) -> None:
        """Drop everything that came.

        Raises:
            UploadBusyError: Another process is at work on the session.
        """
        if self._token is not None:
            with suppress(UploadUnknownError):
                await (await self._open_writer()).cancel()
        await self._end()

    async def _open_writer(self) -> FileWriter:
        if self._token is None:
            return await self._storage.writer(paths.upload_data(self.name, self.id))
        try:
            return await self._storage.resume(self._token)
        except UploadNotFoundError:
            await self._end()
            raise UploadUnknownError(self.id) from None

    async def _save(self, writer: FileWriter) -> None:
        if writer.offset == self.offset:
            return  # nothing came: leaving the writer alone leaves the session as it was
        token = await writer.suspend()
        path = paths.upload_token(self.name, self.id)
        await self._storage.put_content(path, token.to_json().encode())
        self._token, self.offset, self.ticket = token, token.offset, ""

    async def _end(self) -> None:
        self.is_over = True
        if self._token is None:
            return
        try:
            await self._storage.delete(paths.upload(self.name, self.id), missing_ok=True)
        except StorageDriverError as error:
            # What the client asked for is done; the rest ages out by purging.
            logger.warning("upload %s of %s is left to the purge: %s", self.id, self.name, error)
