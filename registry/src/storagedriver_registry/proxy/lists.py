"""Lists of tags and of referrers: the upstream's, or else what is cached of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from storagedriver_registry.api import referrers, tags
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.proxy.answers import to_api_error
from storagedriver_registry.proxy.errors import UpstreamError, UpstreamUnknownError
from storagedriver_registry.proxy.upstream import Upstream
from storagedriver_registry.storage.errors import NameUnknownError
from storagedriver_registry.storage.referrers import ReferrersPage, first_page

logger = logging.getLogger(__name__)


class ProxiedLists:
    """Answers requests for lists.

    Args:
        upstream: Where they are.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def tags(self, services: Services, request: Request) -> Response:
        """List the tags of a repository."""
        try:
            found = await self._upstream.tags(request.name)
        except UpstreamUnknownError:
            raise NameUnknownError(request.name) from None
        except UpstreamError as error:
            try:
                response = await tags.get(services, request)
            except NameUnknownError:
                raise to_api_error(error) from error
            text = "the tags of %s are those that are cached, since the upstream registry fails: %s"
            logger.warning(text, request.name, error)
            return response
        return tags.page(services, request, sorted(found))

    async def referrers(self, services: Services, request: Request) -> Response:
        """List the referrers of a manifest."""
        try:
            found = await self._upstream.referrers(request.name, request.required_digest)
        except UpstreamError as error:
            text = "the referrers in %s are those that are cached: the upstream registry fails: %s"
            logger.warning(text, request.name, error)
            return await referrers.get(services, request)

        async def page(artifact_type: str, after: str, count: int | None) -> ReferrersPage:
            return await first_page(_after(found, after), artifact_type, count)

        return await referrers.answer(request, page)


async def _after(found: Sequence[dict[str, Any]], last: str) -> AsyncIterator[dict[str, Any]]:
    """Give the descriptors after a digest, in the order of their digests."""
    for descriptor in sorted(found, key=_digest):
        if _digest(descriptor) > last:
            yield descriptor


def _digest(descriptor: dict[str, Any]) -> str:
    return str(descriptor.get("digest", ""))
