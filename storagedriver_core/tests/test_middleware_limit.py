from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    FileReader,
    FileWriter,
    ListOptions,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    ThrottledError,
    UnavailableError,
    UploadOptions,
)
from storagedriver_core.middleware.limit import LimitMiddleware, LimitParameters
from storagedriver_core.tests.faults import Blank, Faults, Gate, settle


def limited(driver: StorageDriver, concurrency: int, *, max_wait: float = 60.0) -> LimitMiddleware:
    return LimitMiddleware(driver, LimitParameters(concurrency=concurrency, max_wait=max_wait))


async def stored(driver: StorageDriver) -> StorageDriver:
    await driver.put_content("/a", b"data", PutOptions())
    return driver


def test_requests_at_once_do_not_exceed_the_limit() -> None:
    async def main() -> None:
        gate = Gate(InMemoryDriver(), "stat", "list", "read", "put_part")
        driver = limited(await stored(gate), 3)
        stream = await driver.open_reader("/a", ReadOptions())
        upload = await driver.open_upload("/u", "holder", UploadOptions())
        calls: list[asyncio.Future[Any]] = [
            *(asyncio.ensure_future(driver.stat("/")) for _ in range(5)),
            asyncio.ensure_future(anext(driver.list("/", ListOptions()))),
            asyncio.ensure_future(stream.next_chunk()),
            asyncio.ensure_future(driver.put_part(upload, 1, 0, [b"x"])),
        ]
        await settle()
        assert gate.inside == 3
        gate.gate.set()
        await asyncio.gather(*calls)
        assert gate.most == 3
        await stream.aclose()

    asyncio.run(main())


def test_one_reader_more_than_the_limit_waits_for_the_first_that_is_closed() -> None:
    async def main() -> None:
        driver = limited(await stored(InMemoryDriver()), 2)
        first = await driver.open_reader("/a", ReadOptions())
        second = await driver.open_reader("/a", ReadOptions())
        order: list[str] = []

        async def wait_in_line(name: str) -> None:
            async with await driver.open_reader("/a", ReadOptions()):
                order.append(name)

        waiting = [asyncio.create_task(wait_in_line(name)) for name in "abc"]
        await settle()
        assert order == []
        await first.aclose()
        await asyncio.gather(*waiting)
        assert order == ["a", "b", "c"]
        await second.aclose()

    asyncio.run(main())


def test_closing_twice_gives_back_one_turn() -> None:
    async def main() -> None:
        driver = limited(await stored(InMemoryDriver()), 1)
        first = await driver.open_reader("/a", ReadOptions())
        await first.aclose()
        await first.aclose()
        second = await driver.open_reader("/a", ReadOptions())
        third = asyncio.create_task(driver.open_reader("/a", ReadOptions()))
        await settle()
        assert not third.done()
        await second.aclose()
        await (await third).aclose()

    asyncio.run(main())


def test_copy_with_a_reader_and_a_writer_gets_both() -> None:
    async def main() -> None:
        async with Storage(limited(InMemoryDriver(), 1)) as storage:
            await storage.put_content("/a", b"x" * 3_000_000)

            async def copy(target: str) -> None:
                async with (
                    await storage.reader("/a") as reader,
                    await storage.writer(target) as writer,
                ):
                    async for chunk in reader:
                        await writer.write(chunk)
                    await writer.commit()

            await asyncio.gather(*[copy(f"/{number}") for number in range(5)])
            assert len(await storage.get_content("/4")) == 3_000_000

    asyncio.run(main())


def test_writers_up_to_the_limit_can_all_put_and_commit() -> None:
    async def main() -> None:
        async with Storage(limited(InMemoryDriver(), 2)) as storage:
            first, second = await storage.writer("/1"), await storage.writer("/2")
            third = asyncio.create_task(storage.writer("/3"))
            await settle()
            assert not third.done()
            for writer in (first, second):
                await writer.write(b"x")
            token = await first.suspend()
            await (await third).commit()
            await second.commit()
            await (await storage.resume(token)).commit()
            assert [entry.path async for entry in storage.list("/")] == ["/1", "/2", "/3"]

    asyncio.run(main())


async def _commit(writer: FileWriter) -> None:
    await writer.commit()


async def _cancel(writer: FileWriter) -> None:
    await writer.cancel()


async def _suspend(writer: FileWriter) -> None:
    await writer.suspend()


async def _close(writer: FileWriter) -> None:
    await writer.aclose()


async def _close_with_token(writer: FileWriter) -> None:
    writer.token()
    await writer.aclose()


@pytest.mark.parametrize("end", [_commit, _cancel, _suspend, _close, _close_with_token])
def test_every_end_of_a_writer_gives_its_turn_back(
    end: Callable[[FileWriter], Awaitable[None]],
) -> None:
    async def main() -> None:
        async with Storage(limited(InMemoryDriver(), 1)) as storage:
            for _ in range(3):
                writer = await storage.writer("/a")
                await writer.write(b"x")
                await end(writer)

    asyncio.run(main())


def test_failed_commit_keeps_the_turn() -> None:
    async def main() -> None:
        faults = Faults(InMemoryDriver())
        driver = limited(faults, 1)
        async with Storage(driver) as storage:
            writer = await storage.writer("/a")
            faults.fail("complete_upload")
            with pytest.raises(UnavailableError):
                await writer.commit()
            other = asyncio.create_task(storage.writer("/b"))
            await settle()
            assert not other.done()
            await writer.commit()
            await (await other).commit()

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["open_upload", "upload_state", "open_reader"])
def test_opening_that_fails_gives_its_turn_back(operation: str) -> None:
    async def main() -> None:
        faults = Faults(InMemoryDriver())
        async with Storage(limited(faults, 1)) as storage:
            await storage.put_content("/a", b"")
            token = await (await storage.writer("/a")).suspend()
            faults.fail(operation)
            opens: dict[str, Callable[[], Awaitable[FileReader | FileWriter]]] = {
                "open_reader": lambda: storage.reader("/a"),
                "open_upload": lambda: storage.writer("/a"),
                "upload_state": lambda: storage.resume(token),
            }
            with pytest.raises(UnavailableError):
                await opens[operation]()
            async with await opens[operation]():
                pass

    asyncio.run(main())


def test_cancelled_waiters_leave_the_line() -> None:
    async def main() -> None:
        driver = limited(await stored(InMemoryDriver()), 1)
        held = await driver.open_reader("/a", ReadOptions())
        waiting = [asyncio.create_task(driver.open_reader("/a", ReadOptions())) for _ in range(100)]
        last = asyncio.create_task(driver.open_reader("/a", ReadOptions()))
        await settle()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert all(task.cancelled() for task in waiting)
        await held.aclose()
        await (await last).aclose()

    asyncio.run(main())


def test_cancelled_operations_give_their_turns_back() -> None:
    async def main() -> None:
        gate = Gate(InMemoryDriver(), "stat")
        driver = limited(gate, 2)
        for _ in range(50):
            calls = [asyncio.create_task(driver.stat("/")) for _ in range(2)]
            await settle()
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        calls = [asyncio.create_task(driver.stat("/")) for _ in range(2)]
        await settle()
        assert gate.inside == 2
        gate.gate.set()
        await asyncio.gather(*calls)

    asyncio.run(main())


def test_lost_reader_gives_its_turn_back() -> None:
    async def main() -> None:
        driver = limited(await stored(InMemoryDriver()), 1)
        lost = await driver.open_reader("/a", ReadOptions())
        waiting = asyncio.create_task(driver.open_reader("/a", ReadOptions()))
        await settle()
        assert not waiting.done()
        del lost
        gc.collect()
        await (await waiting).aclose()

    asyncio.run(main())


def test_lost_writer_gives_its_turn_back() -> None:
    async def main() -> None:
        async with Storage(limited(InMemoryDriver(), 1)) as storage:
            lost = await storage.writer("/a")
            waiting = asyncio.create_task(storage.writer("/b"))
            await settle()
            assert not waiting.done()
            with pytest.warns(ResourceWarning, match="never closed"):
                del lost
                gc.collect()
            await (await waiting).commit()

    asyncio.run(main())


def test_lost_reader_after_the_loop_is_harmless() -> None:
    async def main() -> object:
        driver = limited(await stored(InMemoryDriver()), 1)
        return await driver.open_reader("/a", ReadOptions())

    lost = asyncio.run(main())
    del lost
    gc.collect()


def test_listings_can_be_nested_whatever_the_limit() -> None:
    async def main() -> None:
        async with Storage(limited(InMemoryDriver(), 1)) as storage:
            await storage.put_content("/a/b/c", b"")
            found = [
                below.path
                async for entry in storage.list("/")
                async for below in storage.list(entry.path)
            ]
            assert found == ["/a/b"]

    asyncio.run(main())


def test_waiting_ends_with_a_throttled_error() -> None:
    async def main() -> None:
        driver = limited(await stored(InMemoryDriver()), 1, max_wait=0.01)
        async with await driver.open_reader("/a", ReadOptions()):
            with pytest.raises(ThrottledError, match="turn of a reader") as caught:
                await driver.open_reader("/a", ReadOptions())
        assert caught.value.temporary
        assert caught.value.outcome == "none"
        await (await driver.open_reader("/a", ReadOptions())).aclose()

    asyncio.run(main())


def test_error_of_the_driver_passes() -> None:
    async def main() -> None:
        with pytest.raises(PathNotFoundError):
            await limited(InMemoryDriver(), 1).stat("/none")

    asyncio.run(main())


def test_opened_again_on_another_loop() -> None:
    driver = limited(InMemoryDriver(), 1)

    async def main() -> None:
        async with Storage(driver) as storage:
            await asyncio.gather(*[storage.stat("/") for _ in range(5)])

    asyncio.run(main())
    asyncio.run(main())


def test_belongs_to_one_event_loop() -> None:
    assert Blank().capabilities.any_event_loop
    assert not limited(Blank(), 1).capabilities.any_event_loop


def test_goes_to_another_process() -> None:
    async def main() -> None:
        driver = limited(Blank(), 1)
        await driver.open()
        await driver.stat("/")
        copy = pickle.loads(pickle.dumps(driver))
        assert (await copy.stat("/a")).path == "/a"

    asyncio.run(main())
