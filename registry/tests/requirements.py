"""Tests of the specification's requirements, each with a fault that it must notice.

A requirement has an id, which stands in `docs/requirements.md`, a test, and a way to switch its
behaviour off: a few lines put in the place of a handler or of a part of the store. The test has to
fail then, which `test_requirements_table` sees to.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from storagedriver_registry.api.descriptors import Route
from storagedriver_registry.api.errors import ApiError, to_api_error
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.router import TABLE, Handler
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import parse_digest
from storagedriver_registry.storage import make_stores

from registry.tests.application import Application, run
from registry.tests.client import OCI_INDEX, OCI_MANIFEST, sha256
from storagedriver_core import StorageDriver

Off = Callable[[pytest.MonkeyPatch], None]
Test = Callable[[Application], Awaitable[None]]

# The tests -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Requirement:
    """One requirement.

    Attributes:
        id: Its id in the table.
        name: Name of its test.
        check: Runs the test.
        off: Switches the behaviour off.
    """

    id: str
    name: str
    check: Callable[[], None]
    off: Off


ALL: dict[str, Requirement] = {}
"""Every requirement of the modules that are imported, by its id."""


def requirement(
    requirement_id: str,
    off: Off,
    *,
    sections: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
    narrow: Mapping[str, object] | None = None,
    on: Callable[[], StorageDriver] | None = None,
) -> Callable[[Test], Callable[[], None]]:
    """Make a test of a requirement.

    Args:
        requirement_id: Its id.
        off: Switches the behaviour off.
        sections: Sections of the configuration.
        settings: For the section `storage`.
        narrow: Capabilities to narrow.
        on: Makes the driver; by default one in memory.
    """

    def register(test: Test) -> Callable[[], None]:
        def check() -> None:
            driver = None if on is None else on()
            run(test, narrow, on=driver, settings=settings, sections=sections)

        check.__name__ = check.__qualname__ = test.__name__
        check.__module__ = test.__module__
        check.__doc__ = test.__doc__
        assert requirement_id not in ALL, f"{requirement_id} has two tests"
        ALL[requirement_id] = Requirement(requirement_id, test.__name__, check, off)
        return check

    return register


# Switching off ---------------------------------------------------------------------------------


def handler(route: Route, method: str, make: Callable[[Handler], Handler]) -> Off:
    """Put another handler in the place of one."""

    def off(patch: pytest.MonkeyPatch) -> None:
        methods = cast(MutableMapping[str, Handler], TABLE[route])
        patch.setitem(methods, method, make(methods[method]))

    return off


def changed(route: Route, method: str, change: Callable[[Response], None]) -> Off:
    """Change what a handler answers."""

    def make(original: Handler) -> Handler:
        async def broken(services: Services, request: Request) -> Response:
            response = await original(services, request)
            change(response)
            return response

        return broken

    return handler(route, method, make)


def status(route: Route, method: str, code: int, *, only: int = 0) -> Off:
    """Answer with another status where all is well; `only` where it is this."""

    def change(response: Response) -> None:
        if only in (0, response.status):
            response.status = code

    return changed(route, method, change)


def header(route: Route, method: str, name: str, value: str | None = None, *, only: int = 0) -> Off:
    """Answer with another value of a header, or without it; `only` where the status is this."""
    key = name.lower().encode()

    def change(response: Response) -> None:
        if only not in (0, response.status):
            return
        response.headers = [pair for pair in response.headers if pair[0] != key]
        if value is not None:
            response.headers.append((key, value.encode()))

    return changed(route, method, change)


def body(route: Route, method: str, change: Callable[[Any], Any]) -> Off:
    """Answer with other JSON."""

    def change_body(response: Response) -> None:
        response._body = json.dumps(change(json.loads(response._body))).encode()
        length = b"%d" % len(response._body)
        response.headers = [
            (key, length if key == b"content-length" else value) for key, value in response.headers
        ]

    return changed(route, method, change_body)


def refusal(route: Route, method: str, code: int) -> Off:
    """Refuse with another status."""

    def make(original: Handler) -> Handler:
        async def broken(services: Services, request: Request) -> Response:
            try:
                return await original(services, request)
            except Exception as error:
                other = to_api_error(error)
                other.status = code
                raise other from None

        return broken

    return handler(route, method, make)


def refused(route: Route, method: str, error: ApiError) -> Off:
    """Refuse everything."""

    def make(_: Handler) -> Handler:
        async def broken(services: Services, request: Request) -> Response:
            raise error

        return broken

    return handler(route, method, make)


def parameter_ignored(route: Route, method: str, name: str) -> Off:
    """Take no notice of a parameter of the query."""

    def make(original: Handler) -> Handler:
        async def broken(services: Services, request: Request) -> Response:
            request.query.pop(name, None)
            return await original(services, request)

        return broken

    return handler(route, method, make)


def request_header_ignored(route: Route, method: str, name: str) -> Off:
    """Take no notice of a header of the request."""

    def make(original: Handler) -> Handler:
        async def broken(services: Services, request: Request) -> Response:
            headers = request._scope["headers"]
            request._scope["headers"] = [pair for pair in headers if pair[0] != name.encode()]
            return await original(services, request)

        return broken

    return handler(route, method, make)


def replaced(owner: object, name: str, value: object) -> Off:
    """Put something else in the place of an attribute."""

    def off(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, value, raising=False)

    return off


# What tests do often ---------------------------------------------------------------------------

BLOB = b"{}"
EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": sha256(BLOB),
    "size": len(BLOB),
}


def dump(document: object) -> bytes:
    # With blanks, so that bytes that were parsed and written again would differ.
    return json.dumps(document, indent=3).encode()


def image(number: int = 0, **fields: object) -> bytes:
    """Give a manifest whose blobs `push` pushes; no two numbers have the same."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": EMPTY,
        "layers": [EMPTY],
        "annotations": {"number": str(number)},
        **fields,
    }
    return dump({key: value for key, value in document.items() if value is not None})


def index(*members: str, **fields: object) -> bytes:
    listed = [{"mediaType": OCI_MANIFEST, "digest": digest, "size": 1} for digest in members]
    return dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed, **fields})


def subject(digest: str) -> dict[str, object]:
    return {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1}


async def store(one: Application, name: str, data: bytes, digest: str) -> None:
    """Give a repository a blob, without asking the registry: what is under test may be broken."""
    blobs = make_stores(one.storage).blobs
    await blobs.put(parse_digest(digest), data)
    await blobs.link(name, parse_digest(digest))


async def put(
    one: Application,
    body: bytes,
    reference: str = "v1",
    media_type: str = "",
    query: str = "",
) -> httpx.Response:
    """Push a manifest to the repository `a`, which has the blob that all refer to.

    Without a type it comes with the one that it names.
    """
    await store(one, "a", BLOB, sha256(BLOB))
    url = f"/v2/a/manifests/{reference}{query}"
    media_type = media_type or json.loads(body).get("mediaType", OCI_MANIFEST)
    return await one.http.put(url, content=body, headers={"content-type": media_type})


async def push(one: Application, body: bytes, reference: str = "v1", **options: str) -> str:
    """Push a manifest that is taken, and give its digest."""
    response = await put(one, body, reference, **options)
    assert response.is_success, response.text
    return sha256(body)


async def begin(one: Application, query: str = "") -> str:
    """Begin an upload to the repository `a`, and give its Location."""
    response = await one.http.post(f"/v2/a/blobs/uploads/{query}")
    assert response.is_success, response.text
    return response.headers["location"]


async def finish(
    one: Application, location: str, digest: str, data: bytes = b"", **headers: str
) -> httpx.Response:
    params = dict(httpx.URL(location).params) | {"digest": digest}
    return await one.http.put(location, params=params, content=data, headers=headers)


async def chunk(
    one: Application, location: str, data: bytes, content_range: str, **headers: str
) -> httpx.Response:
    sent = {"content-range": content_range, **headers}
    return await one.http.patch(location, content=data, headers=sent)
