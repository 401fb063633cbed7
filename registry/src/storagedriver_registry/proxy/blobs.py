"""Blobs: what is cached is served from there, the rest while it comes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

from storagedriver_registry.api import blobs as ordinary
from storagedriver_registry.api.conditions import is_known, wanted_range
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import FixedHeaders, Response, StreamResponse
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest
from storagedriver_registry.proxy.answers import telling
from storagedriver_registry.proxy.counting import Kind, ProxyCounter
from storagedriver_registry.proxy.downloads import Downloads, next_chunk
from storagedriver_registry.proxy.errors import UpstreamBrokenError
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.proxy.upstream import FetchedBlob, Upstream
from storagedriver_registry.storage.errors import BlobUnknownError

# Smaller ones are answered when they are whole: so an error has a status of its own.
_SMALL_BYTES = 64 * 1024
# Each holds a connection to the upstream for as long as its client takes, or does not even read.
# Far fewer than there are, so that whatever clients do, downloads go on.
_MOST_PASSING = 64


class ProxiedBlobs:
    """Answers requests for blobs.

    Args:
        upstream: Where they are.
        downloads: Those that are on their way.
        fetched: Where what is linked is noted.
        counter: Is told.
    """

    def __init__(
        self, upstream: Upstream, downloads: Downloads, fetched: Fetched, counter: ProxyCounter
    ) -> None:
        self._upstream = upstream
        self._downloads = downloads
        self._fetched = fetched
        self._counter = counter
        self._passing = asyncio.Semaphore(_MOST_PASSING)

    async def get(self, services: Services, request: Request) -> Response:
        """Send a blob or one range of it; of HEAD only the headers."""
        digest = request.required_digest
        response = await self._cached(services, request)
        is_hit = response is not None
        if response is None:
            with telling(BlobUnknownError(digest)):
                response = await self._uncached(services, request, digest)
        if request.method == "GET":
            self._counter.served(Kind.BLOB, response.length, is_hit=is_hit)
        return response

    async def _cached(self, services: Services, request: Request) -> Response | None:
        try:
            return await ordinary.get(services, request)
        except BlobUnknownError:
            return None

    async def _uncached(self, services: Services, request: Request, digest: Digest) -> Response:
        name, headers = request.name, ordinary.blob_headers(digest)
        coming = self._downloads.size(name, digest)
        if request.method == "HEAD" or is_known(request, digest):
            size = coming or await self._upstream.blob_size(name, digest)
            if is_known(request, digest):
                return Response(304, headers)
            return Response(200, headers, length=size)
        if coming is None and await services.stores.blobs.is_stored(digest):
            response = await self._stored(services, request, digest)
            if response is not None:
                return response
        if request.header(b"range") is not None:
            response = await self._range(request, digest, headers)
            if response is not None:
                return response
        size, reader = await self._downloads.follow(name, digest)
        try:
            if size <= _SMALL_BYTES:
                return Response(200, headers, await reader.read_all())
            await reader.begin()
        except BaseException:
            reader.close()
            raise
        return StreamResponse(200, headers, reader, size)

    async def _stored(
        self, services: Services, request: Request, digest: Digest
    ) -> Response | None:
        """Send what is stored; None if it is not any more."""
        # It may have been on its way when it was looked for, and be there by now.
        response = await self._cached(services, request)
        if response is not None:
            return response
        # Another repository has it. To know its digest is no permission: the upstream says.
        await self._upstream.blob_size(request.name, digest)
        # A collector of garbage may be faster.
        with suppress(BlobUnknownError):
            await self._fetched.note_blob(request.name, digest)
            await services.stores.blobs.link(request.name, digest)
            return await ordinary.get(services, request)
        return None

    async def _range(
        self, request: Request, digest: Digest, headers: FixedHeaders
    ) -> Response | None:
        """Send a range of what is not cached; None if everything is to be sent.

        It comes from what has come of the blob already, or from the upstream: who asks so may want
        a little of a large blob, and would wait for all that is before. That is what it does if too
        many ranges come from there.
        """
        name = request.name
        size = await self._upstream.blob_size(name, digest)
        part = wanted_range(request, digest, size)
        if part is None:
            return None
        offset, length = part
        headers += ordinary.content_range(offset, length, size)
        following = self._downloads.follow_range(digest, offset, length)
        if following is None and self._passing.locked():
            whole, following = await self._downloads.follow(name, digest, offset, length)
            if whole != size:
                following.close()
                raise UpstreamBrokenError(f"{whole} bytes are announced of {size}")
        if following is not None:
            await following.begin()
            return StreamResponse(206, headers, following, length)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._passing)
            blob = self._upstream.blob(name, digest, offset, length)
            fetched = await stack.enter_async_context(blob)
            if fetched.length != length:
                raise UpstreamBrokenError(f"{fetched.length} bytes are announced of {length}")
            passing = _Passing(fetched, await next_chunk(fetched.chunks) or b"", self._counter)
            passing.keep(stack.pop_all())
        return StreamResponse(206, headers, passing, length)


class _Passing:
    """A range that passes through.

    Args:
        fetched: The range.
        first: What has come of it.
        counter: Is told.
    """

    def __init__(self, fetched: FetchedBlob, first: bytes, counter: ProxyCounter) -> None:
        self._fetched = fetched
        self._first = first
        self._stack = AsyncExitStack()
        self._counter = counter
        self._passed = 0

    def keep(self, stack: AsyncExitStack) -> None:
        """See to the end of what the range needs."""
        self._stack = stack

    async def __aenter__(self) -> _Passing:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._counter.fetched(Kind.BLOB, self._passed)
        await self._stack.aclose()

    def __aiter__(self) -> _Passing:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, b""
        chunk = first or await next_chunk(self._fetched.chunks) or b""
        self._passed += len(chunk)
        length = self._fetched.length
        if self._passed > length or (not chunk and self._passed < length):
            raise UpstreamBrokenError(f"{self._passed} bytes came of {length}")
        if not chunk:
            raise StopAsyncIteration
        return chunk
