"""Requirements on pushing and mounting blobs. See `requirements`."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from unittest import mock

import pytest
from storagedriver_registry.api import routes, uploads
from storagedriver_registry.api.codes import RANGE_INVALID, UNSUPPORTED
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response
from storagedriver_registry.api.router import Handler
from storagedriver_registry.api.services import Services
from storagedriver_registry.api.urls import UrlBuilder
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage import make_stores, paths, tickets
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.errors import DigestMismatchError
from storagedriver_registry.storage.upload_session import UploadSession

from registry.tests.application import Application
from registry.tests.client import error_codes, sha256, sha512
from registry.tests.requirements import (
    begin,
    chunk,
    finish,
    handler,
    header,
    parameter_ignored,
    refusal,
    refused,
    replaced,
    request_header_ignored,
    requirement,
    status,
    store,
)

DATA = b"0123456789"
DIGEST = sha256(DATA)
BLOB_URL = f"/v2/a/blobs/{DIGEST}"
POST = "/v2/a/blobs/uploads/"


class Always:
    """An attribute that nothing changes."""

    def __init__(self, *, value: object) -> None:
        self._value = value

    def __get__(self, *_: object) -> object:
        return self._value

    def __set__(self, *_: object) -> None:
        pass


RELATIVE = {"http": {"relativeurls": True}}
PARTS = {"min_part_size": 1024 * 1024, "max_parts": 1000}


async def stored(one: Application, name: str = "a") -> bytes | None:
    response = await one.http.get(f"/v2/{name}/blobs/{DIGEST}")
    return response.content if response.status_code == 200 else None


# In one piece ----------------------------------------------------------------------------------


def _digest_is_unknown(request: Request, parameter: str) -> Digest:
    try:
        return _digest(request, parameter)
    except ApiError as error:
        raise ApiError(error.code, error.detail, status=404) from None


_digest = uploads._digest


@requirement("BLOB-01", replaced(uploads, "_digest", _digest_is_unknown))
async def test_invalid_digest_is_400(one: Application) -> None:
    for digest in ("sha256:1", "md5:d41d8cd98f00b204e9800998ecf8427e", "x", ""):
        posted = await one.http.post(POST, params={"digest": digest}, content=DATA)
        closed = await finish(one, await begin(one), digest, DATA)
        patched = await one.http.patch(await begin(one), content=DATA)
        chunked = await finish(one, patched.headers["location"], digest)
        for response in (posted, closed, chunked):
            assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
            assert "did not match" not in response.json()["errors"][0]["message"]


@requirement("BLOB-02", status(routes.UPLOADS, "POST", 200, only=202))
async def test_upload_begins_with_202(one: Application) -> None:
    assert (await one.http.post(POST)).status_code == 202


@requirement("BLOB-03", header(routes.UPLOADS, "POST", "location", only=202))
async def test_begun_upload_has_a_location(one: Application) -> None:
    assert (await one.http.post(POST)).headers["location"]


def _one_for_all(patch: pytest.MonkeyPatch) -> None:
    only = str(uuid.uuid4())

    async def new_id(_: object) -> str:
        return only

    patch.setattr(tickets.Tickets, "new_id", new_id)


@requirement("BLOB-04", _one_for_all)
async def test_uploads_at_the_same_time_do_not_meet(one: Application) -> None:
    locations = [await begin(one) for _ in range(5)]
    assert len(set(locations)) == 5
    bodies = [DATA + b"%d" % number for number in range(5)]

    async def upload(location: str, data: bytes) -> None:
        patched = await one.http.patch(location, content=data[:4])
        done = await finish(one, patched.headers["location"], sha256(data), data[4:])
        assert done.status_code == 201, done.text

    await asyncio.gather(*map(upload, locations, bodies))
    for data in bodies:
        assert (await one.http.get(f"/v2/a/blobs/{sha256(data)}")).content == data


@requirement("BLOB-05", replaced(UrlBuilder, "_relative", Always(value=False)), sections=RELATIVE)
async def test_location_may_be_relative(one: Application) -> None:
    location = await begin(one)
    assert location.startswith(POST)
    assert (await finish(one, location, DIGEST, DATA)).status_code == 201


@requirement("BLOB-06", parameter_ignored(routes.UPLOAD, "PUT", "_state"))
async def test_location_carries_what_the_session_needs(one: Application) -> None:
    location = await begin(one)
    assert (await finish(one, location.partition("?")[0], DIGEST, DATA)).status_code == 404
    assert (await finish(one, location, DIGEST, DATA)).status_code == 201


@requirement("BLOB-07", status(routes.UPLOAD, "PUT", 200))
async def test_upload_in_one_put_is_201(one: Application) -> None:
    for data in (DATA, b""):
        response = await finish(one, await begin(one), sha256(data), data)
        assert response.status_code == 201
        pulled = await one.http.get(f"/v2/a/blobs/{sha256(data)}")
        assert (pulled.status_code, pulled.content) == (200, data)


@requirement("BLOB-08", header(routes.UPLOAD, "PUT", "location", f"http://registry{POST}"))
async def test_uploaded_blob_can_be_pulled_at_its_location(one: Application) -> None:
    response = await finish(one, await begin(one), DIGEST, DATA)
    assert (await one.http.get(response.headers["location"])).content == DATA


@requirement("BLOB-09", parameter_ignored(routes.UPLOADS, "POST", "digest"))
async def test_one_post_pushes_a_blob(one: Application) -> None:
    response = await one.http.post(POST, params={"digest": DIGEST}, content=DATA)
    assert response.status_code == 201
    assert await stored(one) == DATA


@requirement("BLOB-10", request_header_ignored(routes.UPLOADS, "POST", "content-length"))
async def test_length_of_one_post_has_to_be_right(one: Application) -> None:
    for length in ("9", "11"):
        headers = {"content-length": length}
        response = await one.http.post(
            POST, params={"digest": DIGEST}, content=DATA, headers=headers
        )
        assert (response.status_code, error_codes(response)) == (400, ["SIZE_INVALID"])
    assert await stored(one) is None


@requirement("BLOB-11", refusal(routes.UPLOADS, "POST", 422))
async def test_digest_of_one_post_has_to_be_right(one: Application) -> None:
    response = await one.http.post(POST, params={"digest": sha256(b"other")}, content=DATA)
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
    assert (await one.http.get(f"/v2/a/blobs/{sha256(b'other')}")).status_code == 404


@requirement("BLOB-12", header(routes.UPLOADS, "POST", "location", only=201))
async def test_one_post_gives_the_location_of_the_blob(one: Application) -> None:
    response = await one.http.post(POST, params={"digest": DIGEST}, content=DATA)
    assert (await one.http.get(response.headers["location"])).content == DATA


# In chunks -------------------------------------------------------------------------------------


@requirement("BLOB-13", parameter_ignored(routes.UPLOADS, "POST", "digest-algorithm"))
async def test_algorithm_of_the_digest_may_be_announced(one: Application) -> None:
    location = await begin(one, "?digest-algorithm=sha512")
    patched = await chunk(one, location, DATA, "0-9")
    done = await finish(one, patched.headers["location"], sha512(DATA))
    assert done.status_code == 201
    assert (await one.http.get(f"/v2/a/blobs/{sha512(DATA)}")).content == DATA
    refused = await one.http.post(f"{POST}?digest-algorithm=md5")
    assert (refused.status_code, error_codes(refused)) == (400, ["DIGEST_INVALID"])


@requirement("BLOB-14", header(routes.UPLOADS, "POST", "oci-chunk-min-length"), narrow=PARTS)
async def test_least_size_of_chunks_is_said_where_the_store_has_one(one: Application) -> None:
    response = await one.http.post(POST)
    assert response.headers["oci-chunk-min-length"] == str(1024 * 1024)


@requirement("BLOB-15", request_header_ignored(routes.UPLOAD, "PATCH", "content-range"))
async def test_first_chunk_begins_at_0(one: Application) -> None:
    location = await begin(one)
    assert (await chunk(one, location, DATA, "1-10")).status_code == 416
    assert (await chunk(one, location, DATA, "0-9")).status_code == 202


@requirement("BLOB-16", request_header_ignored(routes.UPLOAD, "PATCH", "content-range"))
async def test_range_of_a_chunk_is_of_the_specified_form(one: Application) -> None:
    location = await begin(one)
    for content_range in ("0", "0-", "-9", "a-b", "9-0", "0-9-", "bytes=0-9"):
        response = await chunk(one, location, DATA, content_range)
        assert 400 <= response.status_code < 500, content_range
    status = await one.http.get(location)
    assert status.headers["range"] == "0-0"
    assert (await chunk(one, location, DATA, "0-9")).status_code == 202


@requirement("BLOB-17", replaced(uploads, "exactly", lambda chunks, length: chunks))
async def test_range_of_a_chunk_includes_both_ends(one: Application) -> None:
    async def unannounced(data: bytes) -> AsyncIterator[bytes]:
        yield data

    location = await begin(one)
    for content_range in ("0-8", "0-10"):
        headers = {"content-range": content_range}
        response = await one.http.patch(location, content=unannounced(DATA), headers=headers)
        assert (response.status_code, error_codes(response)) == (400, ["SIZE_INVALID"])


@requirement("BLOB-18", status(routes.UPLOAD, "PATCH", 204))
async def test_chunk_is_202(one: Application) -> None:
    assert (await chunk(one, await begin(one), DATA, "0-9")).status_code == 202


@requirement("BLOB-19", header(routes.UPLOAD, "PATCH", "range", "0-10"))
async def test_chunk_is_answered_with_location_and_range(one: Application) -> None:
    location = await begin(one)
    for first, last in ((0, 4), (5, 9)):
        response = await chunk(one, location, DATA[first : last + 1], f"{first}-{last}")
        assert response.headers["range"] == f"0-{last}"
        location = response.headers["location"]
    assert (await finish(one, location, DIGEST)).status_code == 201


@requirement("BLOB-20", refusal(routes.UPLOAD, "PATCH", 400))
async def test_chunk_out_of_order_is_416(one: Application) -> None:
    first = await chunk(one, await begin(one), DATA[:5], "0-4")
    for content_range in ("0-4", "4-8", "6-10"):
        response = await chunk(one, first.headers["location"], DATA[5:], content_range)
        assert response.status_code == 416, content_range


def _out_of_order_ends(original: Handler) -> Handler:
    async def broken(services: Services, request: Request) -> Response:
        try:
            return await original(services, request)
        except ApiError:
            ticket = request.query.get("_state", "")
            uploads = services.stores.uploads
            async with uploads.hold(request.name, request.upload_id, ticket) as session:
                await session.cancel()
            raise

    return broken


@requirement("BLOB-21", handler(routes.UPLOAD, "PATCH", _out_of_order_ends))
async def test_session_lives_on_after_a_chunk_out_of_order(one: Application) -> None:
    first = await chunk(one, await begin(one), DATA[:5], "0-4")
    location = first.headers["location"]
    assert (await chunk(one, location, DATA[:5], "7-11")).status_code == 416
    found = await one.http.get(location)
    assert (found.status_code, found.headers["range"]) == (204, "0-4")
    second = await chunk(one, found.headers["location"], DATA[5:], "5-9")
    assert second.status_code == 202
    assert (await finish(one, second.headers["location"], DIGEST)).status_code == 201
    assert await stored(one) == DATA


def _closed_without_chunk(original: Handler) -> Handler:
    async def broken(services: Services, request: Request) -> Response:
        if request.header(b"content-range") is not None:
            raise ApiError(RANGE_INVALID)
        return await original(services, request)

    return broken


@requirement("BLOB-22", handler(routes.UPLOAD, "PUT", _closed_without_chunk))
async def test_last_chunk_may_come_with_either_request(one: Application) -> None:
    patched = await chunk(one, await begin(one), DATA, "0-9")
    assert (await finish(one, patched.headers["location"], DIGEST)).status_code == 201
    first = await chunk(one, await begin(one), DATA[:5], "0-4")
    last = {"content-range": "5-9"}
    closed = await finish(one, first.headers["location"], DIGEST, DATA[5:], **last)
    assert closed.status_code == 201
    assert await stored(one) == DATA


async def _publish_early(session: UploadSession, chunks: AsyncIterator[bytes]) -> None:
    data = b"".join([each async for each in chunks])
    digest = Digest("sha256", sha256(data).removeprefix("sha256:"))
    await session._blobs.put(digest, data)
    await session._blobs.link(session.name, digest)

    async def again() -> AsyncIterator[bytes]:
        yield data

    await _append(session, again())


_append = UploadSession.append


@requirement("BLOB-23", replaced(UploadSession, "append", _publish_early))
async def test_blob_is_there_only_when_the_session_was_closed(one: Application) -> None:
    patched = await chunk(one, await begin(one), DATA, "0-9")
    assert await stored(one) is None
    await finish(one, patched.headers["location"], DIGEST)
    assert await stored(one) == DATA


@requirement("BLOB-24", request_header_ignored(routes.UPLOAD, "PUT", "content-range"))
async def test_last_chunk_out_of_order_is_416(one: Application) -> None:
    first = await chunk(one, await begin(one), DATA[:5], "0-4")
    location = first.headers["location"]
    wrong = await finish(one, location, DIGEST, DATA[5:], **{"content-range": "6-10"})
    assert wrong.status_code == 416
    found = await one.http.get(location)
    assert (found.status_code, found.headers["range"]) == (204, "0-4")
    right = await finish(
        one, found.headers["location"], DIGEST, DATA[5:], **{"content-range": "5-9"}
    )
    assert right.status_code == 201


@requirement("BLOB-25", refusal(routes.UPLOAD, "PUT", 500))
async def test_session_is_closed_with_a_digest(one: Application) -> None:
    location = await begin(one)
    response = await one.http.put(location, content=DATA)
    assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
    assert (await finish(one, location, DIGEST, DATA)).status_code == 201


async def _commit_anything(
    session: UploadSession, digest: Digest, chunks: AsyncIterator[bytes]
) -> None:
    with suppress(DigestMismatchError):
        await _commit(session, digest, chunks)


_commit = UploadSession.commit


@requirement("BLOB-26", replaced(UploadSession, "commit", _commit_anything))
async def test_digest_is_that_of_the_whole_blob(one: Application) -> None:
    for digest_of in (sha256, sha512):
        first = await chunk(one, await begin(one), DATA[:5], "0-4")
        wrong = await finish(one, first.headers["location"], digest_of(DATA[5:]), DATA[5:])
        assert (wrong.status_code, error_codes(wrong)) == (400, ["DIGEST_INVALID"])
        assert (await one.http.get(f"/v2/a/blobs/{digest_of(DATA[5:])}")).status_code == 404


@requirement("BLOB-27", header(routes.UPLOAD, "PUT", "location"))
async def test_closed_session_gives_201_and_the_location_of_the_blob(one: Application) -> None:
    patched = await chunk(one, await begin(one), DATA, "0-9")
    response = await finish(one, patched.headers["location"], DIGEST)
    assert response.status_code == 201
    assert (await one.http.get(response.headers["location"])).content == DATA


@requirement("BLOB-28", status(routes.UPLOAD, "GET", 200))
async def test_status_of_an_upload_is_204(one: Application) -> None:
    location = await begin(one)
    assert (await one.http.get(location)).status_code == 204
    patched = await chunk(one, location, DATA, "0-9")
    assert (await one.http.get(patched.headers["location"])).status_code == 204


@requirement("BLOB-29", header(routes.UPLOAD, "GET", "range"))
async def test_status_gives_location_and_range(one: Application) -> None:
    patched = await chunk(one, await begin(one), DATA, "0-9")
    found = await one.http.get(patched.headers["location"])
    assert found.headers["range"] == "0-9"
    assert (await finish(one, found.headers["location"], DIGEST)).status_code == 201


@requirement("BLOB-30", refused(routes.UPLOAD, "DELETE", ApiError(UNSUPPORTED)))
async def test_cancelled_upload_is_gone(one: Application) -> None:
    fresh = await begin(one)
    patched = (await chunk(one, await begin(one), DATA, "0-9")).headers["location"]
    for location in (fresh, patched):
        assert (await one.http.delete(location)).status_code == 204
        for method in ("GET", "PATCH", "DELETE"):
            response = await one.http.request(method, location)
            assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@requirement("BLOB-31", replaced(tickets, "_LIFETIME_SECONDS", 100 * 365 * 24 * 3600))
async def test_upload_that_nobody_finishes_ends_some_time(one: Application) -> None:
    location = await begin(one)
    assert (await one.http.get(location)).status_code == 204
    later = time.time() + 30 * 24 * 3600
    with mock.patch.object(time, "time", lambda: later):
        assert (await one.http.get(location)).status_code == 404
    # One that has stored bytes is purged, by the store's clock; see `test_purging`.
    held = (await chunk(one, await begin(one), DATA, "0-9")).headers["location"]
    await make_stores(one.storage).sessions.purge(timedelta(0))
    assert (await one.http.get(held)).status_code == 404


def _only_chunks(original: Handler) -> Handler:
    async def broken(services: Services, request: Request) -> Response:
        if request.header(b"content-range") is None:
            raise ApiError(RANGE_INVALID)
        return await original(services, request)

    return broken


@requirement("BLOB-32", handler(routes.UPLOAD, "PATCH", _only_chunks))
async def test_stream_of_any_length_is_taken(one: Application) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for first in range(0, 10, 3):
            yield DATA[first : first + 3]

    patched = await one.http.patch(await begin(one), content=stream())
    assert (patched.status_code, patched.headers["range"]) == (202, "0-9")
    assert (await finish(one, patched.headers["location"], DIGEST)).status_code == 201
    assert await stored(one) == DATA


# Mounting --------------------------------------------------------------------------------------


@requirement("MOUNT-01", status(routes.UPLOADS, "POST", 202, only=201))
async def test_mount_is_201(one: Application) -> None:
    await store(one, "b", DATA, DIGEST)
    response = await one.http.post(POST, params={"mount": DIGEST, "from": "b"})
    assert response.status_code == 201
    assert await stored(one) == DATA


@requirement("MOUNT-02", header(routes.UPLOADS, "POST", "location", only=201))
async def test_mounted_blob_can_be_pulled_at_its_location(one: Application) -> None:
    await store(one, "b", DATA, DIGEST)
    response = await one.http.post(POST, params={"mount": DIGEST, "from": "b"})
    assert (await one.http.get(response.headers["location"])).content == DATA
    assert response.headers["docker-content-digest"] == DIGEST


def _only_from(original: Handler) -> Handler:
    async def broken(services: Services, request: Request) -> Response:
        if "from" not in request.query:
            request.query.pop("mount")
        return await original(services, request)

    return broken


@requirement("MOUNT-03", handler(routes.UPLOADS, "POST", _only_from))
async def test_mount_may_leave_out_from(one: Application) -> None:
    await store(one, "b", DATA, DIGEST)
    response = await one.http.post(POST, params={"mount": DIGEST})
    assert response.status_code == 201
    assert await stored(one) == DATA


@requirement(
    "MOUNT-04", replaced(BlobStore, "is_linked", lambda self, name, digest: self.is_stored(digest))
)
async def test_what_cannot_be_mounted_begins_an_upload(one: Application) -> None:
    await store(one, "b", DATA, DIGEST)
    for query in ({"mount": DIGEST, "from": "c"}, {"mount": sha256(b"none"), "from": "b"}):
        response = await one.http.post(POST, params=query)
        assert response.status_code == 202, query
    assert (await finish(one, response.headers["location"], DIGEST, DATA)).status_code == 201


async def _delete_for_all(store: BlobStore, name: str, digest: Digest) -> None:
    await store._storage.delete(paths.blob(digest))


@requirement("MOUNT-05", replaced(BlobStore, "unlink", _delete_for_all))
async def test_blob_of_one_repository_outlives_that_of_another(one: Application) -> None:
    await store(one, "b", DATA, DIGEST)
    await one.http.post(POST, params={"mount": DIGEST, "from": "b"})
    assert (await one.http.delete(f"/v2/b/blobs/{DIGEST}")).status_code == 202
    assert (await stored(one, "b"), await stored(one)) == (None, DATA)
