"""The blobs of a repository."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from storagedriver_core import finish
from storagedriver_registry.client.errors import (
    ConnectionFailedError,
    NotFoundError,
    RangeInvalidError,
    RegistryError,
    ServerError,
)
from storagedriver_registry.client.origins import Origin, Origins
from storagedriver_registry.client.reading import BlobReader, RunningHash, blob_request
from storagedriver_registry.client.retrying import Tries
from storagedriver_registry.client.tokens import repository_scope
from storagedriver_registry.client.transport import Request, Transport
from storagedriver_registry.client.uploading import Uploader, UploadSession
from storagedriver_registry.digest import Digest, parse_digest

AT_ONCE_BYTES = 1 << 20
"""Bytes up to which a blob goes with the request that ends its upload: to send so few again costs
less than the further request of a stream."""

_PROGRESS = 1 << 20
"""Bytes that have to be new for an upload to count as one that gets on."""

_CANCEL_SECONDS = 5.0

BlobContent: TypeAlias = "bytes | Callable[[int], AsyncIterator[bytes]]"
"""The bytes of a blob, or what begins to give them at an offset, as often as it is asked."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What is known of a blob without reading it.

    Attributes:
        digest: Its digest.
        size: Its bytes.
    """

    digest: Digest
    size: int


class Blobs:
    """The blobs of one repository; `Repository.blobs`.

    Args:
        transport: The registry.
        name: The repository.
        origins: Where they are read.
    """

    def __init__(self, transport: Transport, name: str, origins: Origins) -> None:
        self._transport = transport
        self._origins = origins
        self._itself = Origin(transport, name)
        self._path = f"/v2/{name}/blobs/"
        self._delete = frozenset({repository_scope(name, "delete")})
        push = frozenset({repository_scope(name, "pull", "push")})
        self.uploads = Uploader(transport, f"{self._path}uploads/", push)
        """The requests of uploads, one by one."""

    async def stat(self, digest: Digest | str) -> BlobInfo:
        """Ask for a blob's size.

        Raises:
            NotFoundError: The repository does not have it.
        """
        digest = _digest(digest)
        return await self._origins.of_blob(digest).first(lambda origin: _stat(origin, digest))

    async def exists(self, digest: Digest | str) -> bool:
        """Tell whether the repository itself has a blob, whatever its mirrors have."""
        return await self._has(_digest(digest))

    async def open(
        self,
        digest: Digest | str,
        *,
        offset: int = 0,
        length: int | None = None,
        before: RunningHash | None = None,
        size: int | None = None,
    ) -> BlobReader:
        """Open a blob for reading: `async with await blobs.open(digest) as reader`.

        Args:
            digest: The blob.
            offset: Bytes to leave out at the beginning; less than the blob has.
            length: Bytes to read, at least 1; None for all that follow. Fewer come at the end.
            before: A hash of the bytes before `offset`, with which the rest is checked as well.
            size: Bytes that the blob must have; None for whatever it has.

        Raises:
            NotFoundError: The repository does not have it.
            RangeInvalidError: It is not longer than `offset`.
            DigestMismatchError: It has not `size` bytes.
        """
        digest = _digest(digest)
        if offset < 0 or (length is not None and length < 1):
            raise ValueError("an offset is at least 0, a length at least 1")
        reader = BlobReader(
            self._origins.of_blob(digest),
            digest,
            offset=offset,
            length=length,
            before=before,
            expected_size=size,
        )
        await reader.open()
        return reader

    async def read(self, digest: Digest | str, most: int = 4 << 20) -> bytes:
        """Read a small blob, such as a configuration.

        Args:
            digest: The blob.
            most: Bytes that it may have.

        Raises:
            ValueError: It has more.
        """
        async with await self.open(digest) as reader:
            if reader.size > most:
                raise ValueError(f"a blob of {reader.size} bytes; {most} are read at most")
            return await reader.read()

    async def upload(
        self,
        digest: Digest | str,
        content: BlobContent,
        size: int | None = None,
        *,
        session: UploadSession | None = None,
        on_session: Callable[[UploadSession], None] | None = None,
    ) -> None:
        """Upload a blob; the registry checks it against its digest.

        After a broken connection it goes on where the registry says that it is. A cancelled upload
        is dropped, and so is one that failed, unless `on_session` is given and another try may do.

        Args:
            digest: The blob.
            content: Its bytes.
            size: How many they are; may be left out with bytes in hand.
            session: An upload to go on with, of this process or another.
            on_session: Is told of each upload that is begun, so that another process can go on.

        Raises:
            ResponseError: The registry does not take it; `DIGEST_INVALID` if the content is not
                what its digest says.
            ValueError: The content has not `size` bytes, but fewer.
        """
        digest = _digest(digest)
        if isinstance(content, bytes):
            size = len(content)
        elif size is None:
            raise ValueError("what is no bytes needs its size")
        upload = _Upload(self, digest, content, size, session, on_session)
        try:
            await upload.run()
        except BaseException as error:
            is_temporary = isinstance(error, RegistryError) and error.temporary
            is_kept = on_session is not None and is_temporary
            if upload.session is not None and not is_kept:
                await finish(_dropped_soon(upload.uploads, upload.session), _CANCEL_SECONDS)
            raise

    async def mount(self, digest: Digest | str, source: str) -> bool:
        """Link a blob of another repository of the registry, without sending it.

        Args:
            digest: The blob.
            source: Name of the other repository.

        Returns:
            Whether it was; otherwise it has to be uploaded.
        """
        session = await self.uploads.mount_or_begin(_digest(digest), source)
        if session is not None:
            await _dropped(self.uploads, session)
        return session is None

    async def delete(self, digest: Digest | str) -> None:
        """Delete a blob from the repository.

        Raises:
            NotFoundError: The repository does not have it.
            UnsupportedError: The registry deletes nothing.
        """
        request = Request(
            *("DELETE", f"{self._path}{_digest(digest)}", self._delete), wanted=frozenset({202})
        )
        await self._transport.delete(request)

    async def _has(self, digest: Digest, tries: Tries | None = None) -> bool:
        try:
            await _stat(self._itself, digest, tries)
        except NotFoundError:
            return False
        return True


class _Upload:
    """One upload, over as many connections and sessions as it takes."""

    def __init__(
        self,
        blobs: Blobs,
        digest: Digest,
        content: BlobContent,
        size: int,
        session: UploadSession | None,
        on_session: Callable[[UploadSession], None] | None,
    ) -> None:
        self.session = session
        self._retries = blobs._transport.retries
        self._tries = Tries(self._retries)
        self.uploads = blobs.uploads.sharing(self._tries)
        self._blobs = blobs
        self._digest = digest
        self._content = content
        self._size = size
        self._on_session = on_session
        self._is_ending = False
        self._is_unsure = session is not None

    async def run(self) -> None:
        furthest = 0
        while True:
            try:
                if await self._step():
                    return
            except (ConnectionFailedError, ServerError, RangeInvalidError, NotFoundError) as error:
                # Another place to go on from is as good as a temporary failure.
                failure = error if error.temporary else ConnectionFailedError()
                delay = None if error.is_exhausted else self._tries.delay(failure)
                if delay is None:
                    raise
                await self._retries.clock.sleep(delay)
                self._is_unsure = True
            if self.session is not None and self.session.offset >= furthest + _PROGRESS:
                self._tries.begin_anew()
                furthest = self.session.offset

    async def _step(self) -> bool:
        """Do the next request or two; tell whether the blob is there."""
        uploads = self.uploads
        if self._is_unsure:
            if self._is_ending and await self._blobs._has(self._digest, self._tries):
                return True
            await self._look()
        if self.session is None:
            self._began(await uploads.begin())
        assert self.session is not None
        offset = self.session.offset
        left = self._size - offset
        if left > AT_ONCE_BYTES:
            self._is_ending = False
            self.session = await uploads.send(self.session, lambda: self._opened(offset), left)
            return False
        self._is_ending = True
        last = b"".join([chunk async for chunk in self._opened(offset)]) if left else b""
        await uploads.finish(self.session, self._digest, last)
        return True

    async def _look(self) -> None:
        """See how far the upload is; if nobody knows, or it went too far, there is none."""
        if self.session is not None:
            try:
                self.session = await self.uploads.state(self.session)
            except (NotFoundError, RangeInvalidError):
                self.session = None
        if self.session is not None and self.session.offset > self._size:
            await _dropped(self.uploads, self.session)
            self.session = None
        self._is_unsure = False

    def _began(self, session: UploadSession) -> None:
        self.session = session
        if self._on_session is not None:
            self._on_session(session)

    async def _opened(self, offset: int) -> AsyncIterator[bytes]:
        if isinstance(self._content, bytes):
            yield self._content[offset:]
            return
        try:
            async for chunk in self._content(offset):
                yield chunk
                offset += len(chunk)
        except RegistryError as error:
            # Where it is read it was tried often enough: it is not read again from here.
            error.is_exhausted = True
            raise
        if offset < self._size:
            # The registry would wait for the rest, and be blamed for it.
            raise ValueError(f"the content ends after {offset} of {self._size} bytes")


async def _dropped(uploads: Uploader, session: UploadSession) -> None:
    with suppress(RegistryError):
        # If not, it ages out.
        await uploads.cancel(session)


async def _dropped_soon(uploads: Uploader, session: UploadSession) -> None:
    """Drop an upload, unless the registry is not to be had: somebody waits for the end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CANCEL_SECONDS):
            await _dropped(uploads, session)


async def _stat(origin: Origin, digest: Digest, tries: Tries | None = None) -> BlobInfo:
    request = blob_request("HEAD", origin, digest, tries=tries)
    async with await origin.transport.open(request) as answer:
        return BlobInfo(digest, answer.length())


def _digest(digest: Digest | str) -> Digest:
    return parse_digest(digest) if isinstance(digest, str) else digest
