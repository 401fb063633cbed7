"""Manifests.

Source: distribution-spec, "Pulling manifests", "Pushing Manifests", "Content Management".
"""

from __future__ import annotations

from storagedriver_registry.api import routes
from storagedriver_registry.api.conditions import etag, is_known
from storagedriver_registry.api.errors import (
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_INVALID,
    ApiError,
)
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import compute_digest
from storagedriver_registry.manifest import (
    InvalidManifestError,
    Manifest,
    media_type_of,
    parse_manifest,
)

MAX_MANIFEST_BYTES = 4 * 1024 * 1024


async def get(services: Services, request: Request) -> Response:
    """Send a manifest as it was pushed; of HEAD only the headers."""
    stores = services.stores
    digest = request.digest or await stores.tags.resolve(request.name, request.tag)
    data = await stores.manifests.get(request.name, digest)
    headers = {
        "content-type": media_type_of(data),
        "docker-content-digest": str(digest),
        "etag": etag(digest),
    }
    if is_known(request, digest):
        return Response(304, headers)
    return Response(200, headers, data)


async def put(services: Services, request: Request) -> Response:
    """Take a manifest whose content the repository has, and point the tag to it."""
    data = await request.body(MAX_MANIFEST_BYTES)
    algorithm = request.digest.algorithm if request.digest else "sha256"
    digest = compute_digest(data, algorithm)
    if request.digest not in (None, digest):
        raise ApiError(DIGEST_INVALID, str(request.digest))
    try:
        manifest = parse_manifest(data, request.header(b"content-type") or "")
    except InvalidManifestError as error:
        raise ApiError(MANIFEST_INVALID, str(error)) from None
    await _check_content(services, request.name, manifest)
    await services.stores.manifests.put(request.name, digest, data)
    if request.tag:
        await services.stores.tags.put(request.name, request.tag, digest)
    headers = {
        "location": services.urls.build(
            request, routes.MANIFEST, name=request.name, reference=digest
        ),
        "docker-content-digest": str(digest),
    }
    return Response(201, headers)


async def delete(services: Services, request: Request) -> Response:
    """Delete a tag; or a manifest, and with it the tags that point to it."""
    services.require_delete()
    stores = services.stores
    if request.digest is None:
        await stores.tags.delete(request.name, request.tag)
    else:
        # Tags first: cut off in between, none is left that points to nothing.
        await stores.tags.delete_all(request.name, request.digest)
        await stores.manifests.delete(request.name, request.digest)
    return Response(202)


async def _check_content(services: Services, name: str, manifest: Manifest) -> None:
    """Raise unless the repository has what the manifest refers to."""
    stores = services.stores
    missing = [
        descriptor.digest
        for descriptor in manifest.required_blobs
        if not await stores.blobs.is_linked(name, descriptor.digest)
    ]
    missing += [
        descriptor.digest
        for descriptor in manifest.required_manifests
        if not await stores.manifests.exists(name, descriptor.digest)
    ]
    if missing:
        first, *others = [ApiError(MANIFEST_BLOB_UNKNOWN, str(digest)) for digest in missing]
        raise ApiError(first.code, first.detail, others=tuple(others))
