"""Blobs of which half is stored: the bytes or the link. Neither is a blob without the other."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from storagedriver_registry.storage import condemned

from registry.tests.application import Application, run
from registry.tests.client import error_codes, sha256
from registry.tests.garbage import (
    Interrupted,
    collect,
    files,
    image,
    push,
    put_manifest,
    statuses,
)
from storagedriver_core import NoSpaceError

DATA = b"half a blob"
FAILED = NoSpaceError("full")
OTHER = {"/data": "/link", "/link": "/data"}
"""What is stored while one is not."""


async def post(one: Application, digest: str) -> httpx.Response:
    return await one.http.post(f"/v2/a/blobs/uploads/?digest={digest}", content=DATA)


async def push_fails(one: Application, at: str) -> None:
    one.driver.fail("put_content", FAILED, at=at)
    assert (await post(one, sha256(DATA))).status_code == 507
    one.driver.heal()


async def halves(one: Application) -> list[str]:
    """Give what is stored of the blob: the bytes, the link, both or neither."""
    return [path for path in await files(one.storage) if sha256(DATA)[7:] in path]


async def is_unknown(one: Application) -> None:
    """Check that the repository does not have the blob, whoever asks, and how."""
    assert await statuses(one, "a", DATA) == [404]
    answer = await one.http.get(f"/v2/a/blobs/{sha256(DATA)}")
    assert (answer.status_code, error_codes(answer)) == (404, ["BLOB_UNKNOWN"])
    answer = await put_manifest(one, "a", image(DATA))
    assert (answer.status_code, error_codes(answer)) == (400, ["MANIFEST_BLOB_UNKNOWN"])
    mount = f"/v2/b/blobs/uploads/?mount={sha256(DATA)}&from=a"
    assert (await one.http.post(mount)).status_code == 202


@pytest.mark.parametrize("at", OTHER)
def test_half_a_blob_is_none_until_it_is_pushed_again(at: str) -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"{}", sha256(b"{}"))
        await push_fails(one, at)
        assert [path.endswith(OTHER[at]) for path in await halves(one)] == [True]
        await is_unknown(one)
        assert (await post(one, sha256(DATA))).status_code == 201
        assert await statuses(one, "a", DATA) == [200]
        assert (await put_manifest(one, "a", image(DATA))).status_code == 201

    run(test)


def test_wrong_digest_stores_neither() -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"{}", sha256(b"{}"))
        before = await files(one.storage)
        answer = await post(one, sha256(b"other"))
        assert (answer.status_code, error_codes(answer)) == (400, ["DIGEST_INVALID"])
        assert await files(one.storage) == before

    run(test)


@pytest.mark.parametrize("at", OTHER)
def test_client_that_goes_away_in_between_leaves_nothing_that_counts(at: str) -> None:
    driver = Interrupted()

    async def test(one: Application) -> None:
        await one.push_blob("a", b"{}", sha256(b"{}"))
        is_half = asyncio.Event()

        async def stay() -> None:
            await asyncio.Event().wait()

        async def tell() -> None:
            is_half.set()

        driver.before("put_content", at, stay)
        driver.after("put_content", OTHER[at], tell)
        pushing = asyncio.ensure_future(post(one, sha256(DATA)))
        await is_half.wait()
        pushing.cancel()
        await asyncio.wait({pushing})
        assert pushing.cancelled()
        assert [path.endswith(OTHER[at]) for path in await halves(one)] == [True]
        await is_unknown(one)
        assert (await post(one, sha256(DATA))).status_code == 201
        assert await statuses(one, "a", DATA) == [200]

    run(test, on=driver)


def test_collector_takes_a_link_without_a_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condemned, "LEARN_SECONDS", 0.0)

    async def test(one: Application) -> None:
        await push(one, "a", "v1", b"layer")
        before = await files(one.storage)
        await push_fails(one, "/data")
        for _ in range(2):
            await collect(one.storage, timedelta(0))
        left = await files(one.storage)
        assert {path for path in left if "/condemned/" not in path} >= before
        assert await statuses(one, "a", b"layer", b"{}", DATA) == [200, 200, 404]
        assert (await post(one, sha256(DATA))).status_code == 201
        assert await statuses(one, "a", DATA) == [200]

    run(test)
