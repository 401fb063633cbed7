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
    return page(services, request, await services.stores.tags.list(request.name))


def page(services: Services, request: Request, tags: list[str]) -> Response:
    """Give the page that is asked for, of all tags in byte order."""
    count, last = page_size(request), last_seen(request)
    most = services.most_tags
    if most is not None:
        # Not an error: who is given a Link may be given fewer than it wants.
        count = most if count is None else min(count, most)
    rest = tags[bisect_right(tags, last) :] if last else tags
    shown = rest if count is None else rest[:count]
    headers = {}
    if count is not None and 0 < count < len(rest):
        headers["link"] = next_page(request, shown[-1], count)
    return json_response({"name": request.name, "tags": shown}, headers)
