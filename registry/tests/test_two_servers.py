"""Two servers on one store, and requests of both on one upload session.

The store wants parts, so that the first bytes of a session are held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from registry.tests.application import Application, run
from registry.tests.client import error_codes, sha256

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

    run(test, PARTS)


def test_small_blob_costs_no_upload() -> None:
    async def test(one: Application) -> None:
        other, location = await start(one, b"")
        async with other:
            await other.get(location)  # each reads the key once
            one.driver.calls.clear()
            await other.patch(location, content=b"small")
            params = dict(httpx.URL(location).params) | {"digest": sha256(b"small")}
            assert (await one.http.put(location, params=params)).status_code == 201
        assert [operation for operation, _ in one.driver.calls] == [
            # PATCH: no record yet; then the record.
            *("open_reader", "put_content"),
            # PUT: the record; the blob and its link; the record goes.
            *("open_reader", "read", "put_content", "put_content", "delete_many"),
        ]

    run(test, PARTS)


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

    run(test, PARTS)
