"""Connections that break, and answers that are lost: the client goes on where it was."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from storagedriver_registry.client import (
    ConnectionFailedError,
    RegistryClient,
    ResponseError,
    UploadSession,
)
from storagedriver_registry.client import uploading as uploading_module
from storagedriver_registry.digest import parse_digest

from registry.tests.client import sha256
from registry.tests.hostile import (
    BLOB,
    DATA,
    DIGEST,
    UPLOADS,
    FakeTime,
    HostileRegistry,
    cut,
    failing,
    in_turn,
    read,
    sent,
    with_hostile,
)


def test_reading_goes_on_where_the_connection_broke() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, in_turn(cut(DATA, 1_200_000), cut(DATA, 1_200_000)))
        assert await read(client) == DATA
        ranges = [headers.get("Range") for headers in registry.asked("GET", "blobs")]
        assert ranges[0] is None
        begins = [int(str(one).partition("=")[2].partition("-")[0]) for one in ranges[1:]]
        assert begins == sorted(begins)
        assert begins[0] > 0

    with_hostile(test)


def test_blob_that_breaks_off_for_ever_is_an_error() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, cut(DATA, 10))
        with pytest.raises(ConnectionFailedError):
            await read(client)
        assert len(registry.requests) <= 6

    with_hostile(test)


def test_range_that_is_not_heeded_is_cut_out_here() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, sent(DATA))
        assert await read(client, offset=1000, length=50) == DATA[1000:1050]
        assert await read(client, offset=2_999_990) == DATA[-10:]

    with_hostile(test)


def upload_server(registry: HostileRegistry, lost_after: list[int]) -> bytearray:
    """Take uploads, but reset the connection when so many bytes of a PATCH have come."""
    stored = bytearray()

    async def begin(request: web.BaseRequest) -> web.StreamResponse:
        stored.clear()
        return web.Response(status=202, headers={"Location": f"{UPLOADS}1?state=x%2By"})

    async def state(request: web.BaseRequest) -> web.StreamResponse:
        assert request.path_qs.endswith("?state=x%2By")
        last = max(0, len(stored) - 1)
        headers = {"Location": f"{UPLOADS}1?state=x%2By", "Range": f"0-{last}"}
        return web.Response(status=204, headers=headers)

    async def patch(request: web.BaseRequest) -> web.StreamResponse:
        begin = request.headers.get("Content-Range", "0-").partition("-")[0]
        assert int(begin) == len(stored)
        limit = lost_after.pop(0) if lost_after else len(DATA)
        async for chunk in request.content.iter_any():
            stored.extend(chunk[: limit - len(stored)])
            if len(stored) == limit < len(DATA):
                assert request.transport is not None
                request.transport.abort()
                break
        headers = {"Location": f"{UPLOADS}1?state=x%2By"}
        return web.Response(status=202, headers=headers)

    async def end(request: web.BaseRequest) -> web.StreamResponse:
        stored.extend(await request.read())
        assert request.query["digest"] == sha256(bytes(stored))
        return web.Response(status=201)

    registry.on("POST", UPLOADS, begin)
    registry.on("GET", f"{UPLOADS}1", state)
    registry.on("PATCH", f"{UPLOADS}1", patch)
    registry.on("PUT", f"{UPLOADS}1", end)
    return stored


def test_upload_goes_on_where_the_registry_says() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        stored = upload_server(registry, [1_300_000, 1_700_000])
        await client.repository("a").blobs.upload(DIGEST, DATA)
        assert bytes(stored) == DATA
        assert len(registry.asked("POST")) == 1
        ranges = [headers.get("Content-Range") for headers in registry.asked("PATCH")]
        assert ranges[:2] == [None, "1300000-2999999"]

    with_hostile(test)


def test_upload_that_nobody_knows_any_more_begins_anew() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        stored = upload_server(registry, [1_300_000])
        registry.on("GET", f"{UPLOADS}1", failing(404, "BLOB_UPLOAD_UNKNOWN"))
        await client.repository("a").blobs.upload(DIGEST, DATA)
        assert bytes(stored) == DATA
        assert len(registry.asked("POST")) == 2

    with_hostile(test)


def test_lost_answer_to_the_last_request_is_looked_up() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        upload_server(registry, [])
        small = DATA[:1000]

        async def lost(request: web.BaseRequest) -> web.StreamResponse:
            await request.read()
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=201)

        registry.on("PUT", f"{UPLOADS}1", lost)
        registry.on("HEAD", f"/v2/a/blobs/{sha256(small)}", sent(small))
        await client.repository("a").blobs.upload(sha256(small), small)
        # On a connection that it had used before, aiohttp itself tries once more.
        assert len(registry.asked("PUT")) in (1, 2)
        assert len(registry.asked("HEAD")) == 1
        assert len(registry.asked("POST")) == 1

    with_hostile(test)


def test_registry_may_take_its_time_at_the_end_of_an_upload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploading_module, "_END_PATIENCE", 1000)

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        await asyncio.sleep(1)
        return web.Response(status=201)

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("PUT", "/up", slow)
        session = UploadSession(f"{registry.url}/up")
        await client.repository("a").blobs.uploads.finish(session, parse_digest(DIGEST))

    with_hostile(test, timeout=0.1)


def test_upload_that_fails_for_good_is_dropped() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        upload_server(registry, [])
        registry.on("PUT", f"{UPLOADS}1", failing(400, "DIGEST_INVALID"))
        registry.on("DELETE", f"{UPLOADS}1", sent(b"", 204))
        with pytest.raises(ResponseError) as caught:
            await client.repository("a").blobs.upload(DIGEST, DATA)
        assert caught.value.code == "DIGEST_INVALID"
        assert len(registry.asked("DELETE")) == 1

    with_hostile(test)


def test_cancelled_upload_is_dropped() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        upload_server(registry, [])
        arrived, over = asyncio.Event(), asyncio.Event()

        async def waits(request: web.BaseRequest) -> web.StreamResponse:
            arrived.set()
            await over.wait()
            return web.Response(status=202)

        registry.on("PATCH", f"{UPLOADS}1", waits)
        registry.on("DELETE", f"{UPLOADS}1", sent(b"", 204))
        task = asyncio.ensure_future(client.repository("a").blobs.upload(DIGEST, DATA))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        over.set()
        assert len(registry.asked("DELETE")) == 1

    with_hostile(test)
