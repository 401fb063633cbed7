from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    ListOptions,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UploadOptions,
)
from storagedriver_core.middleware.chaos import ChaosMiddleware, ChaosParameters
from storagedriver_core.middleware.retry import RetryMiddleware, RetryParameters


def chaotic(driver: StorageDriver | None = None, **given: Any) -> ChaosMiddleware:
    parameters = ChaosParameters(**{"seed": 7, "rate": 1.0, **given})
    return ChaosMiddleware(driver or InMemoryDriver(), parameters)


async def failures(driver: StorageDriver, paths: int) -> list[str]:
    failed = []
    for number in range(paths):
        try:
            await driver.put_content(f"/{number}", b"", PutOptions())
        except StorageDriverError as error:
            assert error.temporary
            failed.append(f"{number} {type(error).__name__} {error.outcome}")
    return failed


def test_share_of_calls_that_fail_is_the_rate() -> None:
    failed = asyncio.run(failures(chaotic(rate=0.05), 10_000))
    # Of the seed, so always the same: five times the standard deviation is allowed.
    assert 390 <= len(failed) <= 610
    kinds = Counter(one.split(" ", 1)[1] for one in failed)
    assert set(kinds) == {
        "UnavailableError none",
        "UnavailableError unknown",
        "ThrottledError none",
    }
    assert all(count > 100 for count in kinds.values())
    assert asyncio.run(failures(chaotic(rate=0.0), 1000)) == []


def test_same_seed_fails_the_same_calls_in_whatever_order() -> None:
    async def main() -> None:
        one, again, other = (chaotic(rate=0.2, seed=seed) for seed in (1, 1, 2))
        expected = await failures(one, 200)
        for number in range(50):  # other calls in between change nothing
            with suppress(StorageDriverError):
                await again.stat(f"/{number}")
        assert await failures(again, 200) == expected
        assert await failures(other, 200) != expected

    asyncio.run(main())


def test_lost_answer_is_of_a_call_that_was_made() -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        driver = chaotic(inner, kinds=["lost"])
        with pytest.raises(UnavailableError) as caught:
            await driver.put_content("/a", b"x", PutOptions())
        assert caught.value.outcome == "unknown"
        assert await inner.get_content("/a") == b"x"
        with pytest.raises(UnavailableError):
            await driver.delete("/a")
        assert (await inner.stat("/")).is_dir
        with pytest.raises(StorageDriverError, match="not found"):
            await inner.get_content("/a")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "error"), [("refused", UnavailableError), ("throttled", ThrottledError)]
)
def test_other_kinds_are_of_calls_that_were_not_made(
    kind: str, error: type[StorageDriverError]
) -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        with pytest.raises(error) as caught:
            await chaotic(inner, kinds=[kind]).put_content("/a", b"x", PutOptions())
        assert (caught.value.outcome, caught.value.temporary) == ("none", True)
        assert [page async for page in inner.list("/", ListOptions())] in ([], [[]])

    asyncio.run(main())


CALLS: dict[str, Callable[[StorageDriver], Awaitable[object]]] = {
    "read": lambda driver: driver.get_content("/a"),
    "write": lambda driver: driver.put_content("/b", b"", PutOptions()),
    "list": lambda driver: anext(driver.list("/", ListOptions())),
    "delete": lambda driver: driver.delete_many(["/a"]),
}


@pytest.mark.parametrize("group", CALLS)
def test_only_calls_of_the_groups_fail(group: str) -> None:
    async def main() -> None:
        inner = InMemoryDriver()
        await inner.put_content("/a", b"x", PutOptions())
        driver = chaotic(inner, groups=[group])
        for name, call in CALLS.items():
            if name == group:
                with pytest.raises(StorageDriverError):
                    await call(driver)
            else:
                await call(driver)

    asyncio.run(main())


def test_reader_breaks_at_a_chunk_and_retry_goes_on_there() -> None:
    async def main() -> None:
        data = bytes(range(256)) * 8192
        inner = InMemoryDriver()
        await inner.put_content("/a", data, PutOptions())
        driver = chaotic(inner, rate=0.3, groups=["read"])
        with pytest.raises(StorageDriverError):
            for _ in range(100):
                async with await driver.open_reader("/a", ReadOptions()) as stream:
                    while await stream.next_chunk():
                        pass
        limits = RetryParameters(attempts=50, base_delay=0.0001, max_delay=0.001)
        async with Storage(RetryMiddleware(driver, limits)) as storage:
            for _ in range(20):
                assert await storage.get_content("/a") == data
                async with await storage.reader("/a") as reader:
                    assert await reader.read() == data

    asyncio.run(main())


def test_check_never_fails_and_upload_is_never_lost() -> None:
    async def main() -> None:
        driver = chaotic(kinds=["lost"])
        with pytest.raises(StorageDriverError):
            await anext(driver.list_uploads())
        await driver.now()
        await driver.identity()
        with pytest.raises(UnavailableError) as caught:
            await driver.open_upload("/a", "holder", UploadOptions())
        assert caught.value.outcome == "none"
        assert not [one async for page in driver.driver.list_uploads() for one in page]

    asyncio.run(main())


def test_calls_wait_as_long_as_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(failures(chaotic(rate=0.0, latency=2.0, latency_rate=0.5), 1000))
    assert 400 < len(waited) < 600
    assert 0 <= min(waited) < 0.1 and 1.9 < max(waited) <= 2.0
