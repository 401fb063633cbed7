"""The catalog of repositories. Source: distribution's SPEC, "Catalog"."""

from __future__ import annotations

from contextlib import aclosing

from storagedriver_registry.api.codes import PAGINATION_NUMBER_INVALID
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.paging import last_seen, page_size
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response, json_response
from storagedriver_registry.api.services import Services
from storagedriver_registry.api.urls import next_page

_DEFAULT_ENTRIES = 100


async def get(services: Services, request: Request) -> Response:
    """List repositories, `n` at most, after `last`. More than `catalog.maxentries` is an error."""
    wanted, most = page_size(request), services.most_repositories
    if wanted is not None and wanted > most:
        raise ApiError(PAGINATION_NUMBER_INVALID, {"n": wanted})
    count = min(_DEFAULT_ENTRIES, most) if wanted is None else wanted
    page: list[str] = []
    headers = {}
    if count:
        async with aclosing(services.stores.catalog.names(last_seen(request))) as names:
            async for name in names:
                if len(page) == count:
                    headers["link"] = next_page(request, page[-1], count)
                    break
                page.append(name)
    return json_response({"repositories": page}, headers)
