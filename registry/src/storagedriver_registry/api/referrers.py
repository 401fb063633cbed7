"""The referrers of a manifest. Source: distribution-spec, "Listing Referrers"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from storagedriver_registry.api.paging import last_seen, page_size
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response, json_response
from storagedriver_registry.api.services import Services
from storagedriver_registry.api.urls import next_page
from storagedriver_registry.manifest import OCI_INDEX
from storagedriver_registry.storage.referrers import ReferrersPage

_FILTER = "artifactType"

Pages: TypeAlias = Callable[[str, str, int | None], Awaitable[ReferrersPage]]
"""Gives a page of referrers: of an artifact type, after a digest, with so many entries at most."""


async def get(services: Services, request: Request) -> Response:
    """List the manifests whose subject has the digest, as an index; empty for an unknown one.

    `n` and `last` are as of the tags: a client follows the `Link` and needs neither.
    """
    pages = services.stores.referrers.page
    return await answer(request, partial(pages, request.name, request.required_digest))


async def answer(request: Request, pages: Pages) -> Response:
    """Answer with the page that is asked for."""
    count = page_size(request)
    wanted = request.query.get(_FILTER, "")
    headers = {"content-type": OCI_INDEX}
    filters = {}
    if wanted:
        headers["oci-filters-applied"] = _FILTER
        filters[_FILTER] = wanted
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    if count == 0:
        return json_response(index, headers)
    page = await pages(wanted, last_seen(request), count)
    if page.last:
        headers["link"] = next_page(request, page.last, count, filters)
    return json_response({**index, "manifests": page.descriptors}, headers)
