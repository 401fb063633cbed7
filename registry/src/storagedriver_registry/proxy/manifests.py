"""Manifests: a tag is looked up at the upstream each time, a digest never changes.

What the upstream has is stored as a push would store it, and then answered by the ordinary handler,
from the cache. If the upstream does not answer, a tag is what it was when it last did.

What was pushed, before there was a proxy, is nobody else's: a tag that points to it stays as it is,
whatever the upstream says. And a tag goes only if a registry says that it is gone.
"""

from __future__ import annotations

import logging
import time

from storagedriver_registry.api import manifests as ordinary
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.manifest import InvalidManifestError, parse_manifest, subject_of
from storagedriver_registry.proxy.answers import telling
from storagedriver_registry.proxy.counting import Kind, ProxyCounter
from storagedriver_registry.proxy.errors import (
    UpstreamBrokenError,
    UpstreamDownError,
    UpstreamError,
    UpstreamUnknownError,
)
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.proxy.flights import Flights
from storagedriver_registry.proxy.upstream import Upstream
from storagedriver_registry.storage import Stores
from storagedriver_registry.storage.errors import ManifestUnknownError, TagUnknownError
from storagedriver_registry.storage.manifests import StoredManifest

logger = logging.getLogger(__name__)

_SLOW_SECONDS = 5.0
_QUIET_SECONDS = 30.0
"""For so long an upstream that was slow to fail is not asked again about tags that are cached: each
client would wait as long once more."""


class ProxiedManifests:
    """Answers requests for manifests.

    Args:
        upstream: Where they are.
        stores: Where they are kept.
        fetched: Where that is noted.
        counter: Is told.
    """

    def __init__(
        self, upstream: Upstream, stores: Stores, fetched: Fetched, counter: ProxyCounter
    ) -> None:
        self._upstream = upstream
        self._stores = stores
        self._fetched = fetched
        self._counter = counter
        self._quiet_until = float("-inf")
        # By repository, and tag or digest: how many of them were fetched, which is one or none.
        self._flights: Flights[tuple[str, str], bool] = Flights()

    async def get(self, services: Services, request: Request) -> Response:
        """Send a manifest; of HEAD only the headers."""
        name, digest = request.name, request.digest
        was_fetched = False
        if digest is None:
            tag = request.tag
            with telling(TagUnknownError(tag)):
                was_fetched = await self._flights.join(
                    (name, tag), lambda: self._refresh(name, tag)
                )
        try:
            response = await ordinary.get(services, request)
        except ManifestUnknownError:
            was_fetched = True
            if digest is None:
                digest = await self._stores.tags.resolve(name, request.tag)
            response = await self._get_fetched(services, request, digest)
        if request.method == "GET":
            self._counter.served(Kind.MANIFEST, response.length, is_hit=not was_fetched)
        return response

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._flights.aclose()

    async def _get_fetched(self, services: Services, request: Request, digest: Digest) -> Response:
        key = (request.name, str(digest))
        with telling(ManifestUnknownError(digest)):
            await self._flights.join(key, lambda: self._fetch_digest(request.name, digest))
        return await ordinary.get(services, request)

    async def _refresh(self, name: str, tag: str) -> bool:
        """See to it that a tag points to what it points to upstream; tell whether that is new."""
        tags, manifests = self._stores.tags, self._stores.manifests
        try:
            known: Digest | None = await tags.resolve(name, tag)
        except TagUnknownError:
            known = None
        began = time.monotonic()
        is_cached = known is not None and await manifests.exists(name, known)
        try:
            if is_cached and began < self._quiet_until:
                raise UpstreamDownError("it did not answer a moment ago")
            current = await self._upstream.tagged(name, tag)
            if current == known and is_cached:
                return False
            if is_cached and await self._is_pushed(name, tag, known):
                return False
            if current is not None and await manifests.exists(name, current):
                if current != known:
                    await tags.put(name, tag, current)
                return False
            fetched = await self._fetch(name, str(current or tag), current)
            if fetched != known:
                await tags.put(name, tag, fetched)
            return True
        except UpstreamUnknownError as error:
            if is_cached and await self._is_pushed(name, tag, known):
                return False
            if known is None:
                raise
            if await self._is_gone(name, tag, error):
                if await self._fetched.has_manifest(name, known):
                    await tags.delete(name, tag)
                raise
            if not is_cached:
                raise
            text = "%s:%s is served as it was cached: a 404 that is no registry's says nothing: %s"
            logger.warning(text, name, tag, error)
            return False
        except UpstreamError as error:
            now = time.monotonic()
            if now - began > _SLOW_SECONDS:
                self._quiet_until = now + _QUIET_SECONDS
            if not is_cached:
                raise
            text = "%s:%s is served as it was cached, since the upstream registry fails: %s"
            logger.warning(text, name, tag, error)
            return False

    async def _is_pushed(self, name: str, tag: str, known: Digest | None) -> bool:
        """Tell whether what a tag points to was pushed, so that the tag is not the upstream's."""
        if known is None or await self._fetched.has_manifest(name, known):
            return False
        text = "%s:%s is served as it was pushed here, though it is not so upstream"
        logger.warning(text, name, tag)
        return True

    async def _is_gone(self, name: str, tag: str, error: UpstreamUnknownError) -> bool:
        """Tell whether a registry says that there is no such tag."""
        if not error.is_said:
            try:
                await self._upstream.manifest(name, tag)
            except UpstreamUnknownError as second:
                return second.is_said
            except UpstreamError:
                pass
        return error.is_said

    async def _fetch_digest(self, name: str, digest: Digest) -> bool:
        await self._fetch(name, str(digest), digest)
        return True

    async def _fetch(self, name: str, reference: str, digest: Digest | None) -> Digest:
        """Fetch a manifest and keep it; give its digest."""
        fetched = await self._upstream.manifest(name, reference)
        data = fetched.data
        computed = compute_digest(data, "sha256" if digest is None else digest.algorithm)
        if digest is not None and computed != digest:
            raise UpstreamBrokenError(f"manifest {digest} of {name} has another digest")
        try:
            pushed = parse_manifest(data, fetched.media_type)
        except InvalidManifestError as error:
            raise UpstreamBrokenError(f"manifest {computed} of {name}: {error}") from None
        self._counter.fetched(Kind.MANIFEST, len(data))
        manifest = StoredManifest(computed, data, pushed.media_type)
        await self._fetched.note_manifest(name, computed)
        # What it names need not be here: it is fetched when it is asked for.
        await self._stores.manifests.put(name, manifest, keep_type=not pushed.names_type)
        subject = subject_of(data)
        if subject is not None:
            await self._stores.referrers.put(name, subject, computed)
        return computed
