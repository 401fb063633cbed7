"""Resumable writers on upload sessions.

Where an upload goes. A session is bound, when it is begun, to the name of its object and to the
preconditions of its completion; nothing can change them later. A commit, though, may be create-only
and may name another target, which is known last. So a session is begun for a name of the driver's
own, `.storagedriver/uploads/<id>`; a commit completes it there, proves that the object is what was
written, and rewrites it to the target with the precondition that is asked. A rewrite within one
bucket copies no bytes and is atomic. So any target costs the same (`late_target`), and nothing
unproved ever shows.

What is proved, and why. Persisted bytes cannot be overwritten, and a session does not tell who sent
them. Two writers that go on from one token write into one session, where the first to send a byte
has it; the other's are ignored without a word. So each part's CRC-32C is in the ledger, and a
commit compares that of the ledger with that of the object. Whose parts they are not gets
`ConflictError`, and the object stays for the writer whose they are. So it is, too, for who resumes
an older token and sends other bytes than were sent after it.

To lose no upload to such a mixture, a writer that resumed looks, before its first byte, whether the
session has grown since, and steps back if so; and of two in one driver the one goes on whose bytes
are in the session. Writers in two processes that begin to send in the same moment may still both be
refused. Never is a mixture published.

What is held. Parts are multiples of 256 KiB and go out when they are put; what the service did not
keep is sent again from the same memory. Only the last part may be of another size: it waits in
memory for `complete_upload`, which sends it with the total.

What is found after a crash. The session says how much it has. If it is complete, its object is at
the driver's own name, or was published: then the target carries the upload's id in its metadata.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storagedriver_core import (
    Buffer,
    CompleteOptions,
    ConflictError,
    FileInfo,
    LimitExceededError,
    Part,
    PathNotFoundError,
    PutOptions,
    UnavailableError,
    Upload,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
    undo_if_cancelled,
)
from storagedriver_gcs import _objects, _sessions
from storagedriver_gcs._body import cut, size_of
from storagedriver_gcs._client import Client
from storagedriver_gcs._config import CHUNK_UNIT
from storagedriver_gcs._crc32c import crc_of, to_etag
from storagedriver_gcs._names import Names
from storagedriver_gcs._publishing import Publication, publish, published_info
from storagedriver_gcs._resources import UPLOAD_KEY, attributes, file_info

_SESSION = "session"
# Times that the service may acknowledge a request without keeping a byte of it.
_STALLS = 5


@dataclass(slots=True)
class Holder:
    """What one writer knows of its upload.

    Attributes:
        upload_id: The upload.
        persisted: Bytes that the service has; None where that has to be asked.
        has_sent: Whether bytes of it may be in the session.
        is_refused: Whether another writer of this driver has the upload.
        is_ending: Whether the session may be complete.
        tail_offset: Where the last part begins that waits for the commit.
        tail: Its bytes.
        publication: How far the commit has come.
    """

    upload_id: str = ""
    persisted: int | None = None
    has_sent: bool = False
    is_refused: bool = False
    is_ending: bool = False
    tail_offset: int = 0
    tail: list[Buffer] = field(default_factory=list)
    publication: Publication = field(default_factory=Publication)

    def require(self) -> None:
        """Refuse a writer that may not go on.

        Raises:
            ConflictError: Another one has the upload.
        """
        if self.is_refused:
            raise ConflictError("another writer has the upload")

    @property
    def tail_end(self) -> int:
        """Where the waiting part ends."""
        return self.tail_offset + size_of(self.tail)


class Uploads:
    """The upload calls of one open driver."""

    def __init__(self, client: Client, names: Names) -> None:
        self._client = client
        self._names = names
        self._holders: dict[str, Holder] = {}

    async def open(self, path: str, holder: str, options: UploadOptions) -> Upload:
        """Begin a session."""
        upload_id = secrets.token_hex(16)
        document = attributes(
            PutOptions(
                content_type=options.content_type,
                metadata={**options.metadata, UPLOAD_KEY: upload_id},
            )
        )
        name = self._names.staging(upload_id)
        session = await undo_if_cancelled(
            _sessions.begin(self._client, name, document),
            functools.partial(_sessions.cancel, self._client),
        )
        self._holders[holder] = Holder(upload_id, persisted=0, has_sent=True)
        return Upload(path, upload_id, {_SESSION: session}, holder, options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Send a part; hold it back if only the last one can be like it."""
        holder = self._holder(upload)
        session = upload.data[_SESSION]
        size = size_of(data)
        holder.require()
        if holder.persisted is None:
            progress = await _sessions.status(self._client, session)
            if progress.resource is not None:
                raise ConflictError("the upload is completed already")
            holder.persisted = progress.persisted
        if offset > holder.persisted:
            if holder.tail and offset == holder.tail_end:
                raise LimitExceededError(f"parts but the last are multiples of {CHUNK_UNIT} bytes")
            raise ConflictError(f"the session has {holder.persisted} bytes, not {offset}")
        part = Part(number, offset, size, to_etag(crc_of(data)))
        if size % CHUNK_UNIT:
            holder.tail_offset, holder.tail = offset, [_kept(buffer) for buffer in data]
            return part
        await self._check_alone(holder, session, offset + size)
        await self._send(holder, session, offset, data, None)
        holder.tail = []
        return part

    async def _check_alone(self, holder: Holder, session: str, end: int) -> None:
        """Before a writer that resumed sends its first byte, see that nobody else is sending.

        Raises:
            ConflictError: The session has grown since it was resumed.
        """
        assert holder.persisted is not None
        if holder.has_sent or end <= holder.persisted:
            return
        holder.has_sent = True
        progress = await _sessions.status(self._client, session)
        if progress.resource is not None or progress.persisted != holder.persisted:
            holder.is_refused = True
            holder.require()

    async def _send(
        self,
        holder: Holder,
        session: str,
        offset: int,
        data: Sequence[Buffer],
        total: int | None,
    ) -> Mapping[str, Any] | None:
        """Send what the service has not got, until it has it; give the object at the end."""
        end = offset + size_of(data)
        stalls = 0
        while True:
            start = holder.persisted
            assert start is not None
            if start >= end:
                return None
            holder.persisted = None  # until an answer says more
            rest = cut(data, start - offset)
            progress = await _sessions.send(self._client, session, start, rest, end - start, total)
            if progress.resource is None and progress.persisted <= start:
                stalls += 1
                if stalls > _STALLS:
                    raise UnavailableError("the service keeps nothing of what is sent")
                progress = await _sessions.status(self._client, session)
                if progress.persisted < start:
                    raise UploadNotFoundError("the session has lost bytes that it had")
            holder.persisted = progress.persisted
            if progress.resource is not None:
                if total is None:
                    raise ConflictError("another writer has completed the upload")
                return progress.resource
            if progress.persisted > end:
                raise ConflictError("another writer goes on with the upload")

    async def state(self, upload: Upload, size: int) -> UploadState:
        """Ask the session how far it is, or find what has become of it."""
        holder = Holder(upload.upload_id)
        self._settle(holder)
        try:
            progress = await _sessions.status(self._client, upload.data[_SESSION])
        except KeyError:
            raise UploadNotFoundError("the token names no session") from None
        except UploadNotFoundError:
            return await self._published_state(upload)
        holder.persisted = progress.persisted
        if progress.resource is not None:
            staged = await _objects.find_resource(self._client, self._staging(upload))
            if staged is None or staged["generation"] != progress.resource.get("generation"):
                return await self._published_state(upload)
            found = await published_info(
                self._client, self._names.name(upload.path), upload.path, upload.upload_id
            )
            if found is not None:
                # Published, and killed before the driver's own name was gone.
                await self._drop_staged(upload)
                return UploadState(found.size, found)
            holder.publication = Publication(staged=progress.resource, is_begun=True)
            holder.is_ending = True
        self._holders[upload.holder] = holder
        return UploadState(progress.persisted)

    async def _published_state(self, upload: Upload) -> UploadState:
        found = await published_info(
            self._client, self._names.name(upload.path), upload.path, upload.upload_id
        )
        if found is None:
            raise UploadNotFoundError(outcome="unknown")
        return UploadState(found.size, found)

    async def complete(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        """Complete the session, prove the object, publish it."""
        holder = self._holder(upload)
        holder.require()
        target = self._names.name(options.path)
        publication = holder.publication
        await publication.refuse_existing(self._client, target, upload.upload_id, options)
        if publication.staged is None:
            try:
                publication.staged = await self._completed(
                    holder, upload.data[_SESSION], options.size
                )
            except UploadNotFoundError:
                found = await published_info(self._client, target, options.path, upload.upload_id)
                if found is None:
                    raise
                return found
        await publication.require(parts, options.size)
        resource = await publish(self._client, publication, target, upload.upload_id, options)
        holder.tail = []
        return file_info(options.path, resource)

    async def _completed(self, holder: Holder, session: str, total: int) -> Mapping[str, Any]:
        """Send the last part with the total, or the total alone; give the object."""
        holder.is_ending = True
        if holder.persisted is None:
            progress = await _sessions.status(self._client, session)
            if progress.resource is not None:
                return progress.resource
            holder.persisted = progress.persisted
        if holder.persisted > total:
            raise ConflictError("another writer goes on with the upload")
        if holder.persisted < total:
            if not holder.tail or holder.tail_end != total:
                raise UploadNotFoundError(f"the session has {holder.persisted} bytes, not {total}")
            made = await self._send(holder, session, holder.tail_offset, holder.tail, total)
            if made is not None:
                return made
        progress = await _sessions.finish(self._client, session, total)
        if progress.resource is None:
            holder.persisted = progress.persisted
            raise UnavailableError("the service did not complete the upload", outcome="unknown")
        return progress.resource

    async def abort(self, upload: Upload) -> None:
        """Drop the session, or what it was completed to."""
        session = upload.data.get(_SESSION)
        if session is None:
            raise UploadNotFoundError("the token names no session")
        is_cancelled = await _sessions.cancel(self._client, session)
        # That a session which is complete can be cancelled is nowhere said, and not excluded.
        if not is_cancelled or self._holder(upload).is_ending:
            try:
                await _objects.delete(self._client, self._staging(upload))
            except PathNotFoundError:
                if not is_cancelled:
                    raise UploadNotFoundError from None
        self.release(upload)

    def release(self, upload: Upload) -> None:
        """Forget what the holder knows."""
        self._holders.pop(upload.holder, None)

    def _settle(self, new: Holder) -> None:
        """Decide between a new writer and those of this driver that have the same upload.

        One whose bytes may be in the session already cannot be dispossessed: they are there for
        good, and the new writer's would be mixed with them.
        """
        others = [each for each in self._holders.values() if each.upload_id == new.upload_id]
        new.is_refused = any(other.has_sent and not other.is_refused for other in others)
        if not new.is_refused:
            for other in others:
                other.is_refused = True

    def _holder(self, upload: Upload) -> Holder:
        # One that was released, or opened by another driver, asks the session.
        return self._holders.setdefault(upload.holder, Holder(upload.upload_id))

    def _staging(self, upload: Upload) -> str:
        return self._names.staging(upload.upload_id)

    async def _drop_staged(self, upload: Upload) -> None:
        with contextlib.suppress(PathNotFoundError):
            await _objects.delete(self._client, self._staging(upload))


def _kept(buffer: Buffer) -> Buffer:
    """Give a buffer that nobody changes."""
    is_fixed = isinstance(buffer, bytes) or (
        isinstance(buffer, memoryview) and isinstance(buffer.obj, bytes)
    )
    return buffer if is_fixed else bytes(buffer)
