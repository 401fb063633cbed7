"""Connections that break, and answers that are lost: the client goes on where it was."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from aiohttp import web
from storagedriver_registry.client import (
    DigestMismatchError,
    InvalidAnswerError,
    RegistryClient,
    ResponseError,
    StalledError,
    UploadSession,
)
from storagedriver_registry.client import uploading as uploading_module
from storagedriver_registry.client.reading import RunningHash
from storagedriver_registry.client.transfer import Blob, Journal, RepositoryPlace
from storagedriver_registry.digest import parse_digest

from registry.tests.client import sha256
from registry.tests.hostile import (
    BLOB,
    DATA,
    DIGEST,
    PATIENCES,
    UPLOADS,
    FakeTime,
    HostileRegistry,
    cut,
    failing,
    halting,
    in_turn,
    read,
    sent,
    with_hostile,
)
from storagedriver_core import ClosedError


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


def test_read_that_failed_is_not_followed_by_an_end() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, in_turn(cut(DATA, 1000), failing(404)))
        async with await client.repository("a").blobs.open(DIGEST) as reader:
            with pytest.raises(ResponseError):
                await reader.read()
            # What seems to be the end would make a whole of a part.
            with pytest.raises(ClosedError, match="has failed"):
                await reader.read()
            with pytest.raises(ClosedError):
                await anext(reader)

    with_hostile(test)


def test_read_that_was_cancelled_is_not_followed_by_an_end() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        over = asyncio.Event()
        registry.on("GET", BLOB, halting(DATA, 1000, over))
        try:
            async with await client.repository("a").blobs.open(DIGEST) as reader:
                assert await reader.read(10) == DATA[:10]
                task = asyncio.ensure_future(reader.read())
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                with pytest.raises(ClosedError):
                    await reader.read()
        finally:
            over.set()

    with_hostile(test)


def test_reader_that_is_closed_asks_for_no_more() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, cut(DATA, len(DATA)))
        reader = await client.repository("a").blobs.open(DIGEST)
        assert await reader.read(10) == DATA[:10]
        for _ in range(2):
            await reader.aclose()
        with pytest.raises(ClosedError):
            await reader.read(len(DATA))
        assert len(registry.requests) == 1

    with_hostile(test)


def test_blob_is_read_in_pieces_of_any_size_and_then_is_at_its_end() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, cut(DATA, len(DATA)))
        async with await client.repository("a").blobs.open(DIGEST) as reader:
            position = 0
            for size in (0, 1, 999, 1_200_000, 7):
                assert await reader.read(size) == DATA[position : position + size]
                position += size
                assert reader.position == position
            chunks = [chunk async for chunk in reader]
            assert b"".join(chunks) == DATA[position:]
            assert all(type(chunk) is bytes for chunk in chunks)
            assert (await reader.read(), await reader.read(5), reader.position) == (
                *(b"", b"", len(DATA)),
            )

    with_hostile(test)


@pytest.mark.parametrize(
    ("rest", "error"), [(DATA[:-1] + b"!", DigestMismatchError), (DATA + b"!", InvalidAnswerError)]
)
def test_rest_after_a_break_is_checked_with_what_was_before(
    rest: bytes, error: type[Exception]
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, in_turn(cut(DATA, 1_200_000), cut(rest, len(rest))))
        with pytest.raises(error):
            await read(client)
        assert len(registry.requests) == 2

    with_hostile(test)


def test_connection_that_gave_much_before_it_broke_is_no_failure_as_others() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        much, nothing = 1_200_000, cut(DATA, 0)
        has_come = asyncio.Event()

        async def gives_much(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = len(DATA)
            await response.prepare(request)
            await response.write(DATA[:much])
            await asyncio.wait_for(has_come.wait(), 60)
            assert request.transport is not None
            request.transport.abort()
            return response

        # Five that follow one another would be too many.
        answers = [nothing] * 3 + [gives_much] + [nothing] * 3
        registry.on("GET", BLOB, in_turn(*answers, cut(DATA, len(DATA))))
        async with await client.repository("a").blobs.open(DIGEST) as reader:
            assert await reader.read(much) == DATA[:much]
            has_come.set()
            assert await reader.read() == DATA[much:]

    with_hostile(test)


def test_range_that_is_not_heeded_is_cut_out_here() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", BLOB, sent(DATA))
        assert await read(client, offset=1000, length=50) == DATA[1000:1050]
        assert await read(client, offset=2_999_990) == DATA[-10:]

    with_hostile(test)


def test_range_that_is_no_number_is_a_fault_of_the_registry() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        # Python reads no number of so many digits.
        huge = "9" * 5000
        registry.on("GET", BLOB, sent(b"", 206, Content_Range=f"bytes 1-2/{huge}"))
        with pytest.raises(InvalidAnswerError):
            await read(client, offset=1)
        registry.on("GET", f"{UPLOADS}1", sent(b"", 204, Location="x", Range=f"0-{huge}"))
        session = UploadSession(f"{registry.url}{UPLOADS}1")
        with pytest.raises(InvalidAnswerError):
            await client.repository("a").blobs.uploads.state(session)

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
        assert len(registry.asked("PUT")) == 1
        assert len(registry.asked("HEAD")) == 1
        assert len(registry.asked("POST")) == 1

    with_hostile(test)


def test_registry_may_take_its_time_at_the_end_of_an_upload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploading_module, "_END_PATIENCE", 1000)
    is_connected: list[bool] = []

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        await asyncio.sleep(3 * seconds)
        return web.Response(status=201)

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("PUT", "/up", slow)
        session = UploadSession(f"{registry.url}/up")
        finishing = client.repository("a").blobs.uploads.finish(session, parse_digest(DIGEST))
        try:
            await finishing
        except StalledError as error:
            # To connect has so long and no longer.
            assert "there is no connection" in str(error)
            is_connected.append(False)
        else:
            is_connected.append(True)

    for seconds in PATIENCES:
        with_hostile(test, timeout=seconds)
        if is_connected[-1]:
            break
    assert is_connected[-1]


def test_upload_that_is_begun_beside_one_of_another_run_is_dropped(tmp_path: Path) -> None:
    size = 5 << 20
    data = os.urandom(size)
    digest = sha256(data)

    async def chunks(offset: int, before: RunningHash | None) -> AsyncGenerator[bytes, None]:
        yield data[offset:]

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        # It mounts nothing.
        registry.on("POST", UPLOADS, sent(b"", 202, Location=f"{UPLOADS}new"))
        state = sent(b"", 204, Location=f"{UPLOADS}old", Range=f"0-{size - 1001}")
        registry.on("GET", f"{UPLOADS}old", state)
        registry.on("PUT", f"{UPLOADS}old", sent(b"", 201))
        registry.on("DELETE", f"{UPLOADS}new", sent(b"", 204))
        journal = Journal(tmp_path)
        with journal.entry("upload", client.host, "a", digest) as entry:
            entry.write(location=f"{registry.url}{UPLOADS}old")
        target = RepositoryPlace(client.repository("a"), "v1", journal)
        source = RepositoryPlace(client.repository("b"), "v1")
        await target.put_blob(Blob(parse_digest(digest), size), chunks, source)
        assert len(registry.asked("DELETE", "new")) == 1
        assert [one["Content-Length"] for one in registry.asked("PUT", "old")] == ["1000"]

    with_hostile(test)


@pytest.mark.parametrize("size", [1000, len(DATA)])
def test_content_that_ends_early_is_not_waited_for_by_the_registry(size: int) -> None:
    async def content(offset: int) -> AsyncGenerator[bytes, None]:
        yield DATA[offset : size - 10]

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        upload_server(registry, [])
        registry.on("DELETE", f"{UPLOADS}1", sent(b"", 204))
        with pytest.raises(ValueError, match=f"after {size - 10} of {size} bytes"):
            await client.repository("a").blobs.upload(sha256(DATA[:size]), content, size)
        assert len(registry.asked("DELETE")) == 1
        assert time.slept == []

    with_hostile(test, timeout=30)


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
