"""Finds the page that a request is for. What shows it is imported with the first page."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from storagedriver_registry.api.codes import NAME_UNKNOWN
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.pages.addresses import ASSETS, REPOSITORIES, ROOT, read_address

_Page: TypeAlias = Callable[[Services, Request], Awaitable[Response]]

_API = "/v2"
_FILES = ("style.css", "copy.js", "icon.svg")
# By which name `auth.access` knows what a page shows; what is for everybody has none.
_CATALOG_ROUTE = "catalog"
_REPOSITORY_ROUTE = "page"


class Site:
    """The pages of one registry. They only read, and cost no request of the API anything."""

    def find(self, request: Request) -> _Page | None:
        """Give what answers a request that the API has no resource for; None if it is no page.

        The request is told what it reads (`route` and `name`), for whoever asks whether it may.

        Raises:
            ApiError: There cannot be such a repository, tag or digest.
        """
        if request.method not in ("GET", "HEAD"):
            return None
        path = request.path
        if path == ROOT and not _wants_page(request):
            return _say_what_this_is
        if path in (ROOT, REPOSITORIES):
            request.route = _CATALOG_ROUTE
            return _show_repositories
        if path.startswith(REPOSITORIES):
            return self._find_repository(request)
        if path.startswith(ASSETS) and path.removeprefix(ASSETS) in _FILES:
            return _send_asset
        return None

    def tells(self, request: Request) -> bool:
        """Say whether a failure of the request is told by a page: to a browser, not of the API."""
        path = request.path
        return path != _API and not path.startswith(f"{_API}/") and _wants_page(request)

    async def failure(self, request: Request, error: ApiError) -> Response:
        """Give the page that tells of a failure."""
        await _load("showing")
        from storagedriver_registry.pages.showing import show_failure

        return await show_failure(request, error)

    def _find_repository(self, request: Request) -> _Page:
        address = read_address(request.path.removeprefix(REPOSITORIES))
        if address is None:
            raise ApiError(NAME_UNKNOWN)
        request.route = _REPOSITORY_ROUTE
        request.name, request.tag, request.digest = address.name, address.tag, address.digest
        return _show_manifest if address.tag or address.digest else _show_repository


def _wants_page(request: Request) -> bool:
    """Tell whether it comes from a browser: probes of load balancers do not name this type."""
    return "text/html" in (request.header(b"accept") or "")


async def _say_what_this_is(services: Services, request: Request) -> Response:
    """Answer a probe, without a look at anything: it comes every few seconds, from nobody."""
    text = (
        "This is a registry of container images. "
        f"Its API is at {request.base}/v2/, and its pages are at {request.base}{REPOSITORIES}.\n"
    )
    headers = {"content-type": "text/plain; charset=utf-8", "vary": "Accept"}
    return Response(200, headers, text.encode())


async def _load(name: str) -> None:
    """Import a module in a thread: the first time takes so long that others would wait for it."""
    await asyncio.to_thread(importlib.import_module, f"storagedriver_registry.pages.{name}")


async def _send_asset(services: Services, request: Request) -> Response:
    await _load("assets")
    from storagedriver_registry.pages.assets import answer_asset

    name = request.path.removeprefix(ASSETS)
    return await asyncio.to_thread(answer_asset, request, name)


async def _show_repositories(services: Services, request: Request) -> Response:
    await _load("showing")
    from storagedriver_registry.pages.showing import show_repositories

    return await show_repositories(services, request)


async def _show_repository(services: Services, request: Request) -> Response:
    await _load("showing")
    from storagedriver_registry.pages.showing import show_repository

    return await show_repository(services, request)


async def _show_manifest(services: Services, request: Request) -> Response:
    await _load("showing")
    from storagedriver_registry.pages.showing import show_manifest_page

    return await show_manifest_page(services, request)
