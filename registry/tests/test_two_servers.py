"""Two servers on one store, and requests of both on one upload session.

The store wants parts, so that the first bytes of a session are held. It is in memory, where no lock
of a file keeps two servers apart; `test_two_processes` has real ones.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from unittest import mock

import httpx
import pytest
from storagedriver_registry.storage import turns, uploads
from storagedriver_registry.storage.paths import GARBAGE_SIGN
from storagedriver_registry.storage.records import Record, RecordStore

from registry.tests.application import Application, run
from registry.tests.client import error_codes, sha256
from storagedriver_core import load_plugins

PARTS = {"max_parts": 1000, "min_part_size": 1024 * 1024}
LARGE = bytes(range(256)) * 20_000  # more than is held


class SlowBody:
    """A body that has begun to be read, and ends when the test wants."""

    def __init__(self, data: bytes) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self._data = data

    async def chunks(self) -> AsyncIterator[bytes]:
        self.begun.set()
        await self.may_end.wait()
        yield self._data


def run_in_time(test: Callable[[Application], Awaitable[None]]) -> None:
    """Run a test on a store that wants parts; it fails rather than waits for ever."""

    async def limited(one: Application) -> None:
        async with asyncio.timeout(30):
            await test(one)

    run(limited, PARTS)


async def start(one: Application, held: bytes) -> tuple[httpx.AsyncClient, str]:
    """Begin a session; give a client of a second server, and the session's URL."""
    other = Application(one.storage, one.driver).http
    location = (await one.http.post("/v2/a/blobs/uploads/")).headers["location"]
    if held:
        patched = await one.http.patch(location, content=held)
        assert patched.status_code == 202
        location = patched.headers["location"]
    return other, location


@pytest.mark.parametrize("held", [b"", b"before "], ids=["fresh", "held"])
@pytest.mark.parametrize("late", [b"late", LARGE], ids=["small", "large"])
def test_second_of_two_appends_is_refused_and_loses_nothing(held: bytes, late: bytes) -> None:
    async def test(one: Application) -> None:
        other, location = await start(one, held)
        async with other:
            body = SlowBody(late)
            slow = asyncio.create_task(other.patch(location, content=body.chunks()))
            await body.begun.wait()
            first = await one.http.patch(location, content=b"first")
            assert first.status_code == 202
            body.may_end.set()
            second = await slow
            assert (second.status_code, error_codes(second)) == (409, ["BLOB_UPLOAD_INVALID"])
            whole = held + b"first"
            status = await other.get(location)
            assert status.headers["range"] == f"0-{len(whole) - 1}"
            params = dict(httpx.URL(location).params) | {"digest": sha256(whole)}
            assert (await other.put(location, params=params)).status_code == 201
            assert (await other.get(f"/v2/a/blobs/{sha256(whole)}")).content == whole
        assert [upload async for upload in one.storage.list_uploads()] == []
        assert [info.path async for info in one.storage.walk("/") if "_uploads" in info.path] == []

    run_in_time(test)


def test_small_blob_costs_no_upload() -> None:
    async def test(one: Application) -> None:
        other, location = await start(one, b"")
        async with other:
            await other.get(location)  # each reads the key once
            one.driver.calls.clear()
            await other.patch(location, content=b"small")
            params = dict(httpx.URL(location).params) | {"digest": sha256(b"small")}
            assert (await one.http.put(location, params=params)).status_code == 201
        made = [operation for operation, path in one.driver.calls if path != GARBAGE_SIGN]
        assert made == [
            # PATCH: no record yet; then the record.
            *("open_reader", "put_content"),
            # PUT: the record; the blob and its link; the record is over, and goes.
            *("open_reader", "read", "put_content", "put_content", "put_content", "delete_many"),
        ]

    run_in_time(test)


def test_session_on_a_local_store_is_read_under_its_lock(tmp_path: Path) -> None:
    async def count(one: Application) -> None:
        begun = await one.http.post("/v2/a/blobs/uploads/")
        one.driver.calls.clear()
        patched = await one.http.patch(begun.headers["location"], content=b"data")
        opened = ["get_content", "open_upload"]  # a fresh one has nothing to lock
        assert [operation for operation, _ in one.driver.calls][:2] == opened
        one.driver.calls.clear()
        params = {"digest": sha256(b"data")}
        done = await one.http.put(patched.headers["location"], params=params)
        assert done.status_code == 201
        resumed = ["local_path", "get_content", "upload_state"]
        assert [operation for operation, _ in one.driver.calls][:3] == resumed

    plugins = load_plugins()
    spec = plugins.driver("filesystem")
    config = spec.parameters(root_directory=tmp_path)
    run(count, on=plugins.load_factory(spec)(config))


def test_record_that_was_spoilt_is_no_session() -> None:
    async def test(one: Application) -> None:
        other, location = await start(one, b"held")
        async with other:
            [record] = [
                info.path async for info in one.storage.walk("/") if "_uploads" in info.path
            ]
            await one.storage.put_content(record, b"neither")
            response = await other.get(location)
            assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])

    run_in_time(test)


async def start_written(one: Application) -> tuple[httpx.AsyncClient, str]:
    """Begin a session that has a writer; give a client of a second server, and its URL."""
    other, location = await start(one, b"")
    assert (await one.http.patch(location, content=LARGE)).status_code == 202
    return other, location


async def check_is_left_with(one: Application, location: str, whole: bytes) -> None:
    """Finish the session with exactly these bytes, and see that nothing is left of it."""
    assert (await one.http.get(location)).headers["range"] == f"0-{len(whole) - 1}"
    params = dict(httpx.URL(location).params) | {"digest": sha256(whole)}
    finished = await one.http.put(location, params=params)
    assert finished.status_code == 201, finished.text
    assert (await one.http.get(f"/v2/a/blobs/{sha256(whole)}")).content == whole
    assert [upload async for upload in one.storage.list_uploads()] == []
    assert [info.path async for info in one.storage.walk("/") if "_uploads" in info.path] == []


def test_second_append_is_refused_while_the_first_renews_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(turns, "RENEW_SECONDS", 0.05)
    # Long against what a slow machine takes for a renewal. Only those keep the first at work for
    # longer than that.
    monkeypatch.setattr(turns, "LIFE_SECONDS", 2.0)
    monkeypatch.setattr(turns, "DEAD_SECONDS", 2.5)

    async def test(one: Application) -> None:
        other, location = await start_written(one)
        async with other:
            body = SlowBody(b"slow")
            slow = asyncio.create_task(other.patch(location, content=body.chunks()))
            await body.begun.wait()
            clock = asyncio.get_running_loop().time
            begun = clock()
            methods = itertools.cycle(("PATCH", "PUT", "DELETE"))
            while clock() - begun < turns.LIFE_SECONDS + 0.1:
                params = dict(httpx.URL(location).params) | {"digest": sha256(LARGE)}
                second = await one.http.request(next(methods), location, params=params)
                assert (second.status_code, error_codes(second)) == (409, ["BLOB_UPLOAD_INVALID"])
            body.may_end.set()
            assert (await slow).status_code == 202
            await check_is_left_with(one, location, LARGE + b"slow")

    run_in_time(test)


def test_turn_of_a_process_that_died_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "DEAD_SECONDS", 0.1)

    async def test(one: Application) -> None:
        other, location = await start_written(one)
        async with other:
            [path] = [
                info.path async for info in one.storage.walk("/") if info.path.endswith("/token")
            ]
            record = await one.storage.get_content(path)
            await one.storage.put_content(path, b"turn 0123456789abcdef\n" + record)
            assert (await one.http.patch(location, content=b"more")).status_code == 202
            await check_is_left_with(one, location, LARGE + b"more")

    run_in_time(test)


def test_who_has_lost_its_turn_is_refused_and_spoils_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "DEAD_SECONDS", 0.1)
    monkeypatch.setattr(turns, "RENEW_SECONDS", 60)
    monkeypatch.setattr(turns, "LIFE_SECONDS", 60)

    async def test(one: Application) -> None:
        other, location = await start_written(one)
        async with other:
            body = SlowBody(LARGE)
            slow = asyncio.create_task(other.patch(location, content=body.chunks()))
            await body.begun.wait()
            assert (await one.http.patch(location, content=b"quick")).status_code == 202
            body.may_end.set()
            late = await slow
            assert (late.status_code, error_codes(late)) == (409, ["BLOB_UPLOAD_INVALID"])
            await check_is_left_with(one, location, LARGE + b"quick")

    run_in_time(test)


def test_who_cannot_renew_its_turn_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "RENEW_SECONDS", 60)
    monkeypatch.setattr(turns, "LIFE_SECONDS", 0.1)

    async def test(one: Application) -> None:
        other, location = await start_written(one)
        async with other:
            late = await other.patch(location, content=SlowBody(b"").chunks())
            assert (late.status_code, error_codes(late)) == (409, ["BLOB_UPLOAD_INVALID"])
            await check_is_left_with(one, location, LARGE)

    run_in_time(test)


def test_commit_loses_no_bytes_that_another_server_took_meanwhile() -> None:
    async def test(one: Application) -> None:
        other, location = await start(one, b"held ")
        async with other:
            body = SlowBody(b"end")
            params = dict(httpx.URL(location).params) | {"digest": sha256(b"held end")}
            put = asyncio.create_task(other.put(location, params=params, content=body.chunks()))
            await body.begun.wait()
            assert (await one.http.patch(location, content=b"more")).status_code == 202
            body.may_end.set()
            assert (await put).status_code == 201
            assert (await other.get(f"/v2/a/blobs/{sha256(b'held end')}")).content == b"held end"
            await check_is_left_with(one, location, b"held more")

    run_in_time(test)


def test_cancel_loses_no_bytes_that_another_server_took_meanwhile() -> None:
    async def test(one: Application) -> None:
        other, location = await start(one, b"held ")
        save = RecordStore.save
        appended: list[httpx.Response] = []

        async def save_late(
            self: RecordStore, name: str, upload_id: str, record: Record, previous: Record | None
        ) -> Record:
            if record.is_over and not appended:
                appended.append(await one.http.patch(location, content=b"more"))
            return await save(self, name, upload_id, record, previous)

        async with other:
            with mock.patch.object(RecordStore, "save", save_late):
                cancelled = await other.delete(location)
            assert [response.status_code for response in appended] == [202]
            assert (cancelled.status_code, error_codes(cancelled)) == (409, ["BLOB_UPLOAD_INVALID"])
            await check_is_left_with(one, location, b"held more")

    run_in_time(test)
