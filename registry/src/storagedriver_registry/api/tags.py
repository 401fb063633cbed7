"""The tags of a repository. Source: distribution-spec, "Listing Tags"."""

from __future__ import annotations

from bisect import bisect_right

from storagedriver_registry.api.paging import last_seen, page_size
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response, json_response
from storagedriver_registry.api.services import Services
from storagedriver_registry.api.urls import next_page


async def get(services: Services, request: Request) -> Response:
    """List tags in byte order, `n` or `tags.maxtags` at most, after `last`."""
    count = _count(services, request)
    # One more than are shown, to know whether there is a next page.
    most = None if count is None else count + 1
    tags = await services.stores.tags.list(request.name, after=last_seen(request), most=most)
    return page(services, request, tags)


def page(services: Services, request: Request, tags: list[str]) -> Response:
    """Give the page that is asked for, of tags in byte order that reach beyond it."""
    count, last = _count(services, request), last_seen(request)
    rest = tags[bisect_right(tags, last) :] if last else tags
    shown = rest if count is None else rest[:count]
    headers = {}
    if count is not None and 0 < count < len(rest):
        headers["link"] = next_page(request, shown[-1], count)
    return json_response({"name": request.name, "tags": shown}, headers)


def _count(services: Services, request: Request) -> int | None:
    """Give how many tags are shown at most; None for all."""
    count, most = page_size(request), services.most_tags
    if most is None:
        return count
    # Not an error: who is given a Link may be given fewer than it wants.
    return most if count is None else min(count, most)
