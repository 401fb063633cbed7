"""Uploads of blobs. Source: distribution-spec, "Pushing blobs" and "Mounting a blob"."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlencode

from storagedriver_registry.api import routes
from storagedriver_registry.api.codes import DIGEST_INVALID, RANGE_INVALID
from storagedriver_registry.api.conditions import announced_range, exactly
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.services import Services
from storagedriver_registry.auth.access import PULL
from storagedriver_registry.digest import ALGORITHMS, Digest, InvalidDigestError, parse_digest
from storagedriver_registry.reference import is_name
from storagedriver_registry.storage.bodies import Chunk
from storagedriver_registry.storage.errors import BlobUnknownError
from storagedriver_registry.storage.upload_session import UploadSession

_STATE = "_state"


async def start(services: Services, request: Request) -> Response:
    """Mount a blob of another repository, take a whole blob, or begin an upload session."""
    services.require_writable(routes.UPLOADS)
    if "mount" in request.query:
        digest = _digest(request, "mount")
        if await _can_mount(services, request, digest):
            # A collector of garbage may have been faster: then it is uploaded.
            with suppress(BlobUnknownError):
                await services.stores.blobs.link(request.name, digest)
                return _created(services, request, digest)
    elif "digest" in request.query:
        digest = _digest(request, "digest")
        await services.stores.blobs.add(request.name, digest, request.chunks())
        return _created(services, request, digest)
    _check_algorithm(request)
    uploads = services.stores.uploads
    headers = _progress(services, request, await uploads.start(request.name))
    if uploads.min_chunk_bytes:
        headers["oci-chunk-min-length"] = str(uploads.min_chunk_bytes)
    return Response(202, headers)


async def status(services: Services, request: Request) -> Response:
    """Say how much of an upload is durable."""
    ticket = request.query.get(_STATE, "")
    session = await services.stores.uploads.find(request.name, request.upload_id, ticket)
    return Response(204, _progress(services, request, session))


async def append(services: Services, request: Request) -> Response:
    """Take a chunk, or a stream of any length."""
    services.require_writable(routes.UPLOAD)
    ticket = request.query.get(_STATE, "")
    uploads = services.stores.uploads
    async with uploads.hold(request.name, request.upload_id, ticket) as session:
        await session.append(_chunks(services, request, session))
        return Response(202, _progress(services, request, session))


async def finish(services: Services, request: Request) -> Response:
    """Take the last chunk, if there is one, and publish the blob."""
    services.require_writable(routes.UPLOAD)
    digest = _digest(request, "digest")
    ticket = request.query.get(_STATE, "")
    uploads = services.stores.uploads
    async with uploads.hold(request.name, request.upload_id, ticket) as session:
        await session.commit(digest, _chunks(services, request, session))
        return _created(services, request, digest)


async def cancel(services: Services, request: Request) -> Response:
    """Drop an upload."""
    services.require_writable(routes.UPLOAD)
    ticket = request.query.get(_STATE, "")
    uploads = services.stores.uploads
    async with uploads.hold(request.name, request.upload_id, ticket) as session:
        await session.cancel()
        return Response(204, {"docker-upload-uuid": session.id})


async def _can_mount(services: Services, request: Request, digest: Digest) -> bool:
    """Tell whether the blob is in the repository named by `from`, or else in any.

    To know a digest is no permission: with authentication on, it has to be in a repository that the
    client may pull from.
    """
    blobs = services.stores.blobs
    for name in _mount_sources(request):
        if name is None or await blobs.is_linked(name, digest):
            is_condemned = await services.stores.condemned.hides_blob(digest)
            return not is_condemned and await blobs.is_stored(digest)
    return False


def _mount_sources(request: Request) -> list[str | None]:
    """Give the repositories that a blob may be mounted from; None stands for any."""
    source, grant = request.query.get("from"), request.grant
    if source is None:
        readable = None if grant is None else grant.repositories(PULL)
        return [None] if readable is None else [name for name in readable if is_name(name)]
    # That it may be read was asked of the guard, with the rest.
    return [source] if is_name(source) else []


def _digest(request: Request, parameter: str) -> Digest:
    try:
        return parse_digest(request.query[parameter])
    except KeyError:
        raise ApiError(DIGEST_INVALID, message=f"{parameter} missing") from None
    except InvalidDigestError as error:
        raise ApiError(DIGEST_INVALID, request.query[parameter], message=str(error)) from None


def _check_algorithm(request: Request) -> None:
    """Refuse an upload whose digest could not be checked in the end.

    The algorithm counts that the last request's digest has. Source: distribution-spec, "Pushing a
    blob in chunks", on the parameter `digest-algorithm`.
    """
    algorithm = request.query.get("digest-algorithm")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ApiError(DIGEST_INVALID, algorithm, message="the algorithm is not supported")


def _chunks(services: Services, request: Request, session: UploadSession) -> AsyncIterator[Chunk]:
    """Give the body, if it goes on where the session stands.

    Raises:
        ApiError: It does not. The session lives on, and the answer says where it stands.
    """
    announced = announced_range(request)
    if announced is None:
        return request.chunks()
    offset, length = announced
    if offset != session.offset:
        progress = _progress(services, request, session)
        raise ApiError(RANGE_INVALID, {"offset": session.offset}, headers=progress)
    return exactly(request.chunks(), length)


def _progress(services: Services, request: Request, session: UploadSession) -> dict[str, str]:
    """Give the headers that say where to go on, and how far the session is."""
    query = urlencode({_STATE: session.ticket}) if session.ticket else ""
    parameters = {"name": session.name, "upload_id": session.id}
    return {
        "location": services.urls.build(request, routes.UPLOAD, query, **parameters),
        # The last byte's offset; distribution says "0-0" of an empty session as well.
        "range": f"0-{max(session.offset - 1, 0)}",
        "docker-upload-uuid": session.id,
    }


def _created(services: Services, request: Request, digest: Digest) -> Response:
    headers = {
        "location": services.urls.build(request, routes.BLOB, name=request.name, digest=digest),
        "docker-content-digest": str(digest),
    }
    return Response(201, headers)
