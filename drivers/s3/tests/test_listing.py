"""Pages that are asked for before anybody wants them: when, how many, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from storagedriver_s3._config import S3Config
from storagedriver_s3._driver import S3Driver
from storagedriver_s3._listing import pages

from storagedriver_core import Storage, UnavailableError

NAMES = [f"/pages/{number:02}" for number in range(11)]


class Watched:
    """A connection that notes which pages were asked for, and may fail or hold one up.

    Attributes:
        asked: How many were asked for.
        fails_at: The number of the one that fails; 0 for none.
        held: Number of the one that comes no sooner than `go_on`; 0 for none.
    """

    def __init__(self, connection: Any) -> None:
        self.asked = self.fails_at = self.held = 0
        self.go_on = asyncio.Event()
        self._connection = connection

    async def call(self, method: str, parameters: Mapping[str, Any]) -> Any:
        assert method == "list_objects_v2"
        self.asked += 1
        number = self.asked
        try:
            if number == self.held:
                await self.go_on.wait()
        finally:
            if number == self.fails_at:
                raise UnavailableError("the network is gone")
        return await self._connection.call(method, parameters)

    async def aclose(self) -> None:
        await self._connection.aclose()


@asynccontextmanager
async def watched(bucket: Mapping[str, object]) -> AsyncIterator[tuple[S3Driver, Watched]]:
    driver = S3Driver(S3Config.model_validate(bucket))
    async with Storage(driver) as storage:
        for name in NAMES:
            await storage.put_content(name, b"")
        watch = Watched(driver._bucket.connection)
        driver._bucket._connection = watch  # type: ignore[assignment]  # it does as much
        try:
            before = asyncio.all_tasks()
            yield driver, watch
            assert asyncio.all_tasks() == before
        finally:
            driver._bucket._connection = watch._connection


def listing(driver: S3Driver) -> Any:
    def read(page: dict[str, Any]) -> list[str]:
        return ["/" + entry["Key"] for entry in page["Contents"]]

    return aclosing(pages(driver._bucket, "pages/", read, size=2, flat=True))


def test_pages_are_asked_for_ahead_by_who_takes_more_than_one(
    seaweedfs_bucket: Mapping[str, object],
) -> None:
    async def look() -> None:
        async with watched(seaweedfs_bucket) as (driver, watch):
            found, asked = [], []
            async with listing(driver) as listed:
                async for names in listed:
                    found += names
                    asked.append(watch.asked)
            assert found == NAMES
            assert asked == [1, 3, 4, 5, 6, 6]

    asyncio.run(look())


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize(("taken", "asked"), [(1, 1), (2, 3), (4, 5)])
def test_nothing_is_left_of_a_page_that_nobody_takes(
    taken: int, asked: int, is_held: bool, seaweedfs_bucket: Mapping[str, object]
) -> None:
    async def look() -> None:
        async with watched(seaweedfs_bucket) as (driver, watch):
            watch.held = is_held * (taken + 1)
            async with listing(driver) as listed:
                for _ in range(taken):
                    await anext(listed)
                await asyncio.sleep(0)
            assert watch.asked == asked

    asyncio.run(look())


@pytest.mark.parametrize(("is_wanted", "is_held"), [(True, False), (False, False), (False, True)])
def test_page_that_does_not_come_is_an_error_for_who_wants_it(
    is_wanted: bool, is_held: bool, seaweedfs_bucket: Mapping[str, object]
) -> None:
    async def look() -> None:
        problems: list[Mapping[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: problems.append(told))
        async with watched(seaweedfs_bucket) as (driver, watch):
            watch.fails_at = 3
            watch.held = is_held * 3
            async with listing(driver) as listed:
                assert [*await anext(listed), *await anext(listed)] == NAMES[:4]
                await asyncio.sleep(0)
                assert watch.asked == 3
                if is_wanted:
                    with pytest.raises(UnavailableError, match="the network is gone"):
                        await anext(listed)
        gc.collect()
        assert problems == []

    asyncio.run(look())


def test_cancelled_wait_for_a_page_cancels_the_page(
    seaweedfs_bucket: Mapping[str, object],
) -> None:
    async def look() -> None:
        async with watched(seaweedfs_bucket) as (driver, watch):
            watch.held = 3
            async with listing(driver) as listed:
                await anext(listed)
                await anext(listed)
                waiting = asyncio.create_task(anext(listed))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting

    asyncio.run(look())
