"""Blobs. Source: distribution-spec, "Pulling blobs" and "Deleting Blobs"."""

from __future__ import annotations

from functools import lru_cache

from storagedriver_core import client_address
from storagedriver_registry.api import routes
from storagedriver_registry.api.conditions import etag, is_known, wanted_range
from storagedriver_registry.api.request import SEND_FILE, SEND_PATH, Request
from storagedriver_registry.api.response import (
    FileResponse,
    FixedHeaders,
    PathResponse,
    Response,
    StreamResponse,
    fixed_headers,
)
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage.errors import BlobUnknownError

# A server that opens a file by its path does so with less ado; one of this size gets there
# sooner if it is read here.
_LARGE_BYTES = 16 * 1024 * 1024


async def get(services: Services, request: Request) -> Response:
    """Send a blob or one range of it, or the client to the store; of HEAD only the headers.

    A redirect says nothing of ranges: the client asks the store for the same one. HEAD stays here,
    unlike in distribution: what it asks is known, and the specification wants 200.
    """
    digest = request.required_digest
    blobs = services.stores.blobs
    # Who asks so may be about to push, and has to push it then. Pulls go on.
    if request.method == "HEAD" and await services.stores.condemned.hides_blob(digest):
        raise BlobUnknownError(digest)
    size = await blobs.size(request.name, digest)
    headers = blob_headers(digest)
    if is_known(request, digest):
        return Response(304, headers)
    if request.method == "HEAD":
        return Response(200, headers, length=size)
    if services.redirect_enabled:
        client_address.set(request.remote_host)  # a middleware may send some clients elsewhere
        url = await blobs.redirect_url(digest)
        if url is not None:
            return Response(307, {"location": url, "docker-content-digest": str(digest)})
    part = wanted_range(request, digest, size)
    status, (offset, length) = (200, (0, size)) if part is None else (206, part)
    if part is not None:
        headers += content_range(offset, length, size)
    small = await blobs.small(digest, size)
    if small is not None:
        return Response(status, headers, small[offset : offset + length])
    if request.offers(SEND_FILE):
        file = await blobs.local_file(digest, size)
        if file is not None:
            return FileResponse(status, headers, file, offset, length)
    if size < _LARGE_BYTES and part is None and request.offers(SEND_PATH):
        path = await blobs.local_path(digest)
        if path is not None:
            return PathResponse(headers, path, size)
    reader = await blobs.reader(digest, offset, length)
    return StreamResponse(status, headers, reader, length)


async def delete(services: Services, request: Request) -> Response:
    """Take a blob out of the repository."""
    services.require_delete(routes.BLOB)
    await services.stores.blobs.unlink(request.name, request.required_digest)
    return Response(202)


# Clients ask for the same ones again and again.
@lru_cache(maxsize=1024)
def blob_headers(digest: Digest) -> FixedHeaders:
    """Give the headers of every answer that is a blob, or says that it is there."""
    return fixed_headers(
        {
            "content-type": "application/octet-stream",
            "docker-content-digest": str(digest),
            "etag": etag(digest),
            "cache-control": "max-age=31536000",
            "accept-ranges": "bytes",
        }
    )


def content_range(offset: int, length: int, size: int) -> FixedHeaders:
    """Give the header of an answer that is a part of `size` bytes."""
    return fixed_headers({"content-range": f"bytes {offset}-{offset + length - 1}/{size}"})
