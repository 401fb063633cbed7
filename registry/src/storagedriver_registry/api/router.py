"""From a path to its handler, with the parts of the path checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from storagedriver_registry.api import (
    base,
    blobs,
    catalog,
    manifests,
    openapi,
    referrers,
    routes,
    tags,
    uploads,
)
from storagedriver_registry.api.codes import (
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    MANIFEST_UNKNOWN,
    NAME_INVALID,
    TAG_INVALID,
    UNSUPPORTED,
)
from storagedriver_registry.api.descriptors import Route
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest
from storagedriver_registry.reference import is_name, is_tag, is_upload_id

_Match: TypeAlias = tuple[Route, tuple[tuple[str, str], ...]]
Handler: TypeAlias = Callable[[Services, Request], Awaitable[Response]]

_HANDLERS: Mapping[str, Handler] = {
    "get_base": base.get,
    "get_openapi": openapi.get,
    "list_repositories": catalog.get,
    "list_tags": tags.get,
    "get_manifest": manifests.get,
    "put_manifest": manifests.put,
    "delete_manifest": manifests.delete,
    "list_referrers": referrers.get,
    "get_blob": blobs.get,
    "delete_blob": blobs.delete,
    "start_upload": uploads.start,
    "get_upload": uploads.status,
    "append_to_upload": uploads.append,
    "finish_upload": uploads.finish,
    "cancel_upload": uploads.cancel,
}

TABLE: Mapping[Route, Mapping[str, Handler]] = {
    route: {
        method: _HANDLERS[operation.id]
        for operation in route.operations
        for method in operation.methods
    }
    for route in routes.ROUTES
}


def find_handler(request: Request) -> Handler:
    """Give the handler of a request, and put what its path names into the request.

    Raises:
        ApiError: There is no such resource or method, or a part of the path is malformed.
    """
    route, values = _match(request.path)
    methods = TABLE[route]
    handler = methods.get(request.method)
    if request.method == "OPTIONS":
        return _name_methods
    if handler is None:
        raise ApiError(UNSUPPORTED, headers={"allow": ", ".join(methods)})
    request.route = route.name
    for parameter, value in values:
        _READERS[parameter](request, value)
    return handler


async def _name_methods(_: Services, request: Request) -> Response:
    """Say which methods a resource has, to everybody: browsers ask so before others' pages may."""
    methods = TABLE[_match(request.path)[0]]
    return Response(200, {"allow": ", ".join((*methods, "OPTIONS"))})


def route_name(path: str) -> str:
    """Give the name of the route that a path is of; empty if there is none."""
    try:
        return _match(path)[0].name
    except ApiError:
        return ""


_PREFIX = "/v2/"

_WHOLE = {route.template: route for route in routes.ROUTES if not route.parameters}
# distribution sends who asks for `/v2` on to `/v2/`.
_WHOLE[_PREFIX.rstrip("/")] = routes.BASE
# Likewise who asks for a list with a slash at the end.
_SLASHED = tuple(f"{text}/" for text in (routes.CATALOG.template, "/tags/list"))


class _Ending(NamedTuple):
    """How the paths of a route end: `/v2/<name><before>/<kind>/<last>`.

    Attributes:
        route: The route.
        before: Text between the name and the last part but one, which `_ENDINGS` has.
        parameter: The parameter that the last part is; empty if it is none.
        literal: Else the last part.
    """

    route: Route
    before: str
    parameter: str
    literal: str


def _endings() -> dict[str, list[_Ending]]:
    found: dict[str, list[_Ending]] = {}
    for route in routes.ROUTES:
        if route.parameters:
            ending = route.template.removeprefix(f"{_PREFIX}{{name}}")
            before, kind, last = ending.rsplit("/", 2)
            parameter = last[1:-1] if last.startswith("{") else ""
            found.setdefault(kind, []).append(_Ending(route, before, parameter, last))
    return found


_ENDINGS = _endings()

# No longer path is a resource's: what a client can fill the memory with is bounded.
_LONGEST_REMEMBERED = 512


def _match(path: str) -> _Match:
    """Match a path; clients ask for the same ones again and again."""
    return _remembered(path) if len(path) <= _LONGEST_REMEMBERED else _matched(path)


def _matched(path: str) -> _Match:
    """Give the route of a path, and its parameters with their values.

    The parts are taken from the end, since a name has any number of them: no expression is tried
    after the other. They are checked later, so that a malformed one is told apart from a resource
    that does not exist.
    """
    if path.endswith(_SLASHED):
        path = path[:-1]
    whole = _WHOLE.get(path)
    if whole is not None:
        return whole, ()
    rest, _, last = path.rpartition("/")
    rest, _, kind = rest.rpartition("/")
    for route, before, parameter, literal in _ENDINGS.get(kind, ()):
        if (last if parameter else last == literal) and rest.endswith(before):
            name = rest[len(_PREFIX) : len(rest) - len(before)]
            if name and rest.startswith(_PREFIX):
                named = ("name", name)
                return route, (named, (parameter, last)) if parameter else (named,)
    raise ApiError(UNSUPPORTED, status=404)


# Few: each push has paths that nobody asks for again, and each of those is half a kilobyte.
_remembered = lru_cache(maxsize=512)(_matched)


def _read_name(request: Request, text: str) -> None:
    if not is_name(text):
        raise ApiError(NAME_INVALID, text)
    request.name = text


def _read_digest(request: Request, text: str) -> None:
    request.digest = _digest(text)


def _read_reference(request: Request, text: str) -> None:
    if ":" in text:
        request.digest = _digest(text)
    elif is_tag(text):
        request.tag = text
    else:
        raise ApiError(TAG_INVALID if request.method == "PUT" else MANIFEST_UNKNOWN, text)


def _read_upload_id(request: Request, text: str) -> None:
    if not is_upload_id(text):
        raise ApiError(BLOB_UPLOAD_UNKNOWN, text)
    request.upload_id = text


def _digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except InvalidDigestError as error:
        raise ApiError(DIGEST_INVALID, text, message=str(error)) from None


_READERS: Mapping[str, Callable[[Request, str], None]] = {
    "name": _read_name,
    "digest": _read_digest,
    "reference": _read_reference,
    "upload_id": _read_upload_id,
}
