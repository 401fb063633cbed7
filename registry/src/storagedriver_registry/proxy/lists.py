"""Lists of tags and of referrers: the upstream's, or else what is cached of them.

What is cached may be a small part. So whoever is given it is told so, and tags are given from there
only if the upstream is down: one that refuses this proxy, or is too slow for a long list, is no
reason to take a part for all.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from storagedriver_registry.api import referrers, tags
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.proxy.answers import to_api_error
from storagedriver_registry.proxy.errors import (
    UpstreamDownError,
    UpstreamError,
    UpstreamSlowError,
    UpstreamUnknownError,
)
from storagedriver_registry.proxy.upstream import Upstream
from storagedriver_registry.storage.errors import NameUnknownError
from storagedriver_registry.storage.referrers import ReferrersPage, first_page

logger = logging.getLogger(__name__)

_WARNING = "the upstream registry fails: this is what is cached, and may be a part"


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
            if not isinstance(error, UpstreamDownError) or isinstance(error, UpstreamSlowError):
                raise to_api_error(error) from error
            try:
                response = await tags.get(services, request)
            except NameUnknownError:
                raise to_api_error(error) from error
            text = "the tags of %s are those that are cached, since the upstream registry fails: %s"
            logger.warning(text, request.name, error)
            return _partial(response)
        return tags.page(services, request, sorted(found))

    async def referrers(self, services: Services, request: Request) -> Response:
        """List the referrers of a manifest."""
        try:
            found = await self._upstream.referrers(request.name, request.required_digest)
        except UpstreamError as error:
            text = "the referrers in %s are those that are cached: the upstream registry fails: %s"
            logger.warning(text, request.name, error)
            return _partial(await referrers.get(services, request))

        async def page(artifact_type: str, after: str, count: int | None) -> ReferrersPage:
            return await first_page(_after(found, after), artifact_type, count)

        return await referrers.answer(request, page)


def _partial(response: Response) -> Response:
    """Say that an answer may be a part. Source: distribution-spec, "Warnings"."""
    response.headers.append((b"warning", f'299 - "{_WARNING}"'.encode()))
    return response


async def _after(found: Sequence[dict[str, Any]], last: str) -> AsyncIterator[dict[str, Any]]:
    """Give the descriptors after a digest, in the order of their digests."""
    for descriptor in sorted(found, key=_digest):
        if _digest(descriptor) > last:
            yield descriptor


def _digest(descriptor: dict[str, Any]) -> str:
    return str(descriptor.get("digest", ""))
