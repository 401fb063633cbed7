"""From a path to its handler, with the parts of the path checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from storagedriver_registry.api import (
    base,
    blobs,
    catalog,
    manifests,
    referrers,
    routes,
    tags,
    uploads,
)
from storagedriver_registry.api.errors import (
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    MANIFEST_UNKNOWN,
    NAME_INVALID,
    TAG_INVALID,
    UNSUPPORTED,
    ApiError,
)
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest
from storagedriver_registry.reference import is_name, is_tag, is_upload_id

Handler: TypeAlias = Callable[[Services, Request], Awaitable[Response]]

# The first that matches is meant. What is asked most often stands first, where the order is free.
TABLE: Mapping[routes.Route, Mapping[str, Handler]] = {
    routes.BASE: {"GET": base.get, "HEAD": base.get},
    routes.MANIFEST: {
        "GET": manifests.get,
        "HEAD": manifests.get,
        "PUT": manifests.put,
        "DELETE": manifests.delete,
    },
    routes.BLOB: {"GET": blobs.get, "HEAD": blobs.get, "DELETE": blobs.delete},
    routes.UPLOADS: {"POST": uploads.start},
    routes.UPLOAD: {
        "GET": uploads.status,
        "HEAD": uploads.status,
        "PATCH": uploads.append,
        "PUT": uploads.finish,
        "DELETE": uploads.cancel,
    },
    routes.REFERRERS: {"GET": referrers.get, "HEAD": referrers.get},
    routes.TAGS: {"GET": tags.get, "HEAD": tags.get},
    routes.CATALOG: {"GET": catalog.get, "HEAD": catalog.get},
}


def find_handler(request: Request) -> Handler:
    """Give the handler of a request, and put what its path names into the request.

    Raises:
        ApiError: There is no such resource or method, or a part of the path is malformed.
    """
    for route, methods in TABLE.items():
        found = route.pattern.fullmatch(request.path)
        if found is None:
            continue
        handler = methods.get(request.method)
        if handler is None:
            raise ApiError(UNSUPPORTED, headers={"allow": ", ".join(methods)})
        request.route = route.name
        for parameter, text in found.groupdict().items():
            _READERS[parameter](request, text)
        return handler
    raise ApiError(UNSUPPORTED, status=404)


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
