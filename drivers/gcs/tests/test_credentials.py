"""Credentials that are refused, and the URLs that they sign, on the strict fake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from storagedriver_gcs import GcsDriver

from drivers.gcs.tests._strict import StrictHarness
from servers.strict_gcs import StrictGcs
from storagedriver_core import AuthenticationError, LimitExceededError, Storage

WEEK = timedelta(days=7)

CALLS: dict[str, Callable[[Storage], Awaitable[object]]] = {
    "a change": lambda storage: storage.put_content("/a", b"again and again"),
    "a list": lambda storage: storage.check(),
    "a download": lambda storage: storage.get_content("/a"),
    "a reader": lambda storage: storage.reader("/a"),
}


@pytest.fixture
def harness(tmp_path: Path, strict_gcs: StrictGcs) -> StrictHarness:
    return StrictHarness(tmp_path, strict_gcs)


@pytest.mark.parametrize("name", CALLS)
def test_service_that_refuses_every_header_is_asked_twice(
    harness: StrictHarness, name: str
) -> None:
    server = harness.server

    async def body() -> None:
        async with Storage(harness.driver()) as storage:
            await storage.put_content("/a", b"x")
            before = server.control("state")["tokens"]
            server.control("fail", pattern=r"^\w+ /(upload/)?storage/", status=401, times=4)
            with pytest.raises(AuthenticationError):
                await CALLS[name](storage)
            assert server.control("state")["tokens"] == before + 1
            # Two refusals are left, for a call that asks twice as well.
            with pytest.raises(AuthenticationError):
                await storage.check()
            await storage.check()

    try:
        asyncio.run(body())
    finally:
        server.control("reset")


def test_refused_credentials_are_a_fact_of_the_identity(harness: StrictHarness) -> None:
    async def body() -> None:
        async with Storage(harness.unauthenticated_driver()) as storage:
            facts = await storage.identity()
            assert facts["credentials"].startswith("none: the credentials are refused")
            assert facts["principal"] == "stranger@example.iam"
            assert facts["bucket"] == harness.config.bucket
            assert facts["endpoint"] == harness.config.url

    asyncio.run(body())


def test_credentials_that_are_not_found_are_a_fact_of_the_identity(
    harness: StrictHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    async def body() -> None:
        config = harness.config.model_copy(update={"keyfile": None})
        async with Storage(GcsDriver(config)) as storage:
            facts = await storage.identity()
            assert facts["credentials"].startswith("none: no usable credentials")
            assert facts["bucket"] == harness.config.bucket

    asyncio.run(body())


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        (timedelta(milliseconds=500), "1"),
        (timedelta(seconds=59, microseconds=1), "60"),
        (WEEK - timedelta(milliseconds=1), "604800"),
        (WEEK, "604800"),
    ],
)
def test_time_of_a_url_is_rounded_up(
    harness: StrictHarness, expires: timedelta, seconds: str
) -> None:
    async def body() -> None:
        async with Storage(harness.driver()) as storage:
            url = await storage.redirect_url("/a", expires=expires)
            assert parse_qs(urlsplit(url).query)["X-Goog-Expires"] == [seconds]

    asyncio.run(body())


def test_url_for_more_than_a_week_is_over_the_limit(harness: StrictHarness) -> None:
    async def body() -> None:
        async with Storage(harness.driver()) as storage:
            with pytest.raises(LimitExceededError):
                await storage.redirect_url("/a", expires=WEEK + timedelta(microseconds=1))

    asyncio.run(body())
