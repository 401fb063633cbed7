"""Manifests.

Source: distribution-spec, "Pulling manifests", "Pushing Manifests", "Content Management".
"""

from __future__ import annotations

from functools import lru_cache

from storagedriver_registry.api import routes
from storagedriver_registry.api.codes import DIGEST_INVALID, MANIFEST_INVALID, TAG_INVALID
from storagedriver_registry.api.conditions import etag, is_known
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import FixedHeaders, Response, fixed_headers
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import Digest, compute_digest
from storagedriver_registry.manifest import InvalidManifestError, parse_manifest, subject_of
from storagedriver_registry.reference import is_tag
from storagedriver_registry.storage.errors import ManifestUnknownError
from storagedriver_registry.storage.manifests import StoredManifest

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MOST_TAGS = 100
"""Tags that one push may set. The specification wants ten at least."""


async def get(services: Services, request: Request) -> Response:
    """Send a manifest as it was pushed; of HEAD only the headers."""
    stores = services.stores
    digest = request.digest or await stores.tags.resolve(request.name, request.tag)
    # As of blobs: who asks so may be about to push an index that lists it.
    if (
        request.method == "HEAD"
        and request.digest is not None
        and await stores.condemned.hides_revision(request.name, digest)
    ):
        raise ManifestUnknownError(digest)
    is_known_already = is_known(request, digest)
    if is_known_already or request.method == "HEAD":
        described = await stores.manifests.describe(request.name, digest)
        headers = _headers(digest, described.media_type)
        if is_known_already:
            return Response(304, headers)
        return Response(200, headers, length=described.size)
    manifest = await stores.manifests.get(request.name, digest)
    return Response(200, _headers(digest, manifest.media_type), manifest.data)


async def put(services: Services, request: Request) -> Response:
    """Take a manifest whose content the repository has, and point tags to it."""
    services.require_writable(routes.MANIFEST)
    stores, name = services.stores, request.name
    tags = _tags(request)
    data = await request.body(MAX_MANIFEST_BYTES)
    algorithm = request.digest.algorithm if request.digest else "sha256"
    digest = compute_digest(data, algorithm)
    if request.digest not in (None, digest):
        raise ApiError(DIGEST_INVALID, str(request.digest))
    try:
        pushed = parse_manifest(data, request.header(b"content-type") or "")
    except InvalidManifestError as error:
        raise ApiError(MANIFEST_INVALID, str(error)) from None
    await services.validation.check(stores, name, pushed.manifest)
    manifest = StoredManifest(digest, data, pushed.media_type)
    lost = await stores.manifests.put(name, manifest, keep_type=not pushed.names_type)
    services.validation.require(pushed.manifest, lost)
    subject = subject_of(data)
    if subject is not None:
        await stores.referrers.put(name, subject, digest)
    for tag in tags:
        await stores.tags.put(name, tag, digest)
    headers = {
        "location": services.urls.build(request, routes.MANIFEST, name=name, reference=digest),
        "docker-content-digest": str(digest),
    }
    if subject is not None:
        headers["oci-subject"] = str(subject)
    response = Response(201, headers)
    if request.digest is not None:
        # One for each: the specification's test program takes no list.
        response.headers += [(b"oci-tag", tag.encode()) for tag in tags]
    return response


async def delete(services: Services, request: Request) -> Response:
    """Delete a tag; or a manifest, and with it the tags that point to it."""
    services.require_delete(routes.MANIFEST)
    stores, name, digest = services.stores, request.name, request.digest
    if digest is None:
        await stores.tags.delete(name, request.tag)
        return Response(202)
    # Tags first: cut off in between, none is left that points to nothing.
    request.untagged = await stores.tags.delete_all(name, digest)
    await stores.manifests.delete(name, digest)
    return Response(202)


# Clients ask for the same ones again and again. A type has 255 characters at most.
@lru_cache(maxsize=512)
def _headers(digest: Digest, media_type: str) -> FixedHeaders:
    headers = {
        "content-type": media_type,
        "docker-content-digest": str(digest),
        "etag": etag(digest),
    }
    if media_type[:5].lower() == "text/":
        # Whoever pushes says the type, and must not run scripts in the browser of who looks.
        headers |= {"content-security-policy": "sandbox", "x-content-type-options": "nosniff"}
    return fixed_headers(headers)


def _tags(request: Request) -> list[str]:
    """Give the tags to set: that of the path, or with a digest those of the query.

    Those of the query are checked either way: who sends what is no tag has made a mistake.

    Source: distribution-spec, "Pushing Manifests", on the parameter `tag`.
    """
    tags = list(dict.fromkeys(request.query_values("tag")))
    for tag in tags:
        if not is_tag(tag):
            raise ApiError(TAG_INVALID, tag)
    if request.digest is None:
        return [request.tag]
    if len(tags) > MOST_TAGS:
        raise ApiError(TAG_INVALID, message=f"more than {MOST_TAGS} tags", status=414)
    return tags
