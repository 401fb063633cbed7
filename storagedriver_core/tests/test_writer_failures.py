"""Parts and digests that fail while others are on their way."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver, Store

from storagedriver_core import (
    Buffer,
    ClosedError,
    DriverMiddleware,
    FileWriter,
    Part,
    Storage,
    StorageDriver,
    StorageDriverError,
    UnavailableError,
    Upload,
    _hashing,
    is_internal,
)
from storagedriver_core.tests.faults import Faults

PART = 16
DATA = bytes(range(5 * PART))


class HeldParts(DriverMiddleware):
    """Holds each part until the test lets it go, or makes it fail.

    Attributes:
        begun: Numbers of the parts that came, in order.
    """

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.begun: list[int] = []
        self._gates: dict[int, asyncio.Future[None]] = defaultdict(
            lambda: asyncio.get_running_loop().create_future()
        )

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        self.begun.append(number)
        await self._gates[number]
        return await super().put_part(upload, number, offset, data)

    async def let_go(self, *numbers: int, error: StorageDriverError | None = None) -> None:
        for number in numbers:
            if error is None:
                self._gates[number].set_result(None)
            else:
                self._gates[number].set_exception(error)
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def on(work: Callable[[Storage, HeldParts], Awaitable[None]], **narrow: Any) -> None:
    """Run `work` with parts of 16 bytes; no error of a task may go unseen."""
    unseen: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        driver = HeldParts(InMemoryDriver())
        limits = {"min_part_size": PART, "max_parts": 100, **narrow}
        async with Storage(driver, narrow=limits, part_size=PART) as storage:
            await work(storage, driver)
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert unseen == []


async def write(writer: FileWriter, data: bytes = DATA) -> None:
    for start in range(0, len(data), PART):
        await writer.write(data[start : start + PART])
    await settle()


def test_token_while_parts_are_on_their_way_ends_before_the_first_gap() -> None:
    async def work(storage: Storage, driver: HeldParts) -> None:
        writer = await storage.writer("/a")
        await write(writer, DATA[: 4 * PART])
        assert driver.begun == [1, 2, 3, 4]
        offsets = []
        for number in (2, 1, 4, 3):
            token = writer.token()
            offsets.append((token.offset, len(token.parts)))
            await driver.let_go(number)
        assert offsets == [(0, 0), (0, 0), (2 * PART, 2), (2 * PART, 2)]
        assert writer.durable_offset == 4 * PART
        await writer.cancel()

    on(work)


def test_failed_part_stops_the_writer_and_keeps_what_came_before() -> None:
    async def work(storage: Storage, driver: HeldParts) -> None:
        writer = await storage.writer("/a")
        await write(writer, DATA[: 4 * PART])
        # The last one fails, too, and nobody is left who would ask for its error.
        await driver.let_go(2, 4, error=UnavailableError("no such luck"))
        await driver.let_go(1, 3)
        for call in (writer.write(b"x"), writer.suspend(), writer.commit()):
            with pytest.raises(UnavailableError):
                await call
        token = writer.token()
        assert token.offset == PART
        await writer.aclose()
        writer = await storage.resume(token)
        assert writer.offset == PART
        await writer.cancel()

    on(work)


def test_no_part_is_sent_after_a_failed_one_where_they_come_in_order() -> None:
    async def work(storage: Storage, driver: HeldParts) -> None:
        writer = await storage.writer("/a")
        await writer.write(DATA)
        await settle()
        assert driver.begun == [1]
        await driver.let_go(1, error=UnavailableError())
        assert driver.begun == [1]
        with pytest.raises(UnavailableError):
            await writer.suspend()
        await writer.cancel()

    on(work, upload_out_of_order=False)


@pytest.mark.parametrize("ledger", [True, False])
def test_part_that_was_cancelled_is_not_taken_for_stored(ledger: bool) -> None:
    async def run() -> None:
        driver = HeldParts(InMemoryDriver())
        narrow = {"min_part_size": PART, "max_parts": 100} if ledger else {}
        async with Storage(driver, narrow=narrow, part_size=PART) as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA if ledger else bytes(2 * 1024 * 1024))
            await settle()
            # As the end of `asyncio.run` does to every task.
            ours = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not ours]
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            for call in (writer.suspend(), writer.commit()):
                with pytest.raises(ClosedError):
                    await call
            assert writer.durable_offset == writer.token().offset == 0
            await writer.cancel()

    asyncio.run(run())


def test_write_that_was_cancelled_has_accepted_nothing() -> None:
    async def work(storage: Storage, driver: HeldParts) -> None:
        writer = await storage.writer("/a")
        await write(writer, DATA[: 4 * PART])
        task = asyncio.create_task(writer.write(DATA[4 * PART :]))
        await settle()
        assert not task.done()  # as many parts are on their way as may be
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert writer.offset == 4 * PART
        await driver.let_go(1, 2, 3, 4, 5)
        await writer.write(DATA[4 * PART :])
        await writer.commit()
        assert await storage.get_content("/a") == DATA

    on(work)


def test_commit_that_was_cancelled_can_be_repeated() -> None:
    async def work(storage: Storage, driver: HeldParts) -> None:
        writer = await storage.writer("/a")
        await write(writer, DATA[: 2 * PART + 1])
        task = asyncio.create_task(writer.commit())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await driver.let_go(1, 2, 3)
        await writer.commit()
        assert await storage.get_content("/a") == DATA[: 2 * PART + 1]

    on(work)


@pytest.mark.parametrize("size", [PART, 1024 * 1024], ids=["at once", "in a thread"])
def test_error_of_a_digest_stays(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object) -> None:
            pass

        def update(self, data: Buffer) -> None:
            raise MemoryError

        def state(self) -> bytes | None:
            return None

        def hexdigest(self) -> str:
            raise AssertionError("a digest with a gap")

    monkeypatch.setattr(_hashing, "_SavableHash", Broken)
    monkeypatch.setattr(_hashing, "_libcrypto", object)

    async def work(storage: Storage, driver: HeldParts) -> None:
        writer = await storage.writer("/a")
        with suppress(MemoryError):
            await writer.write(bytes(size))
        for call in (writer.suspend, writer.commit):
            with pytest.raises(MemoryError):
                await call()
        assert writer.durable_offset == 0
        await writer.cancel()

    # All in the part that is still held.
    on(work, min_part_size=size + 1)


@pytest.mark.parametrize("end", ["cancel", "aclose", "commit"])
def test_tail_of_a_suspend_whose_reply_was_lost_goes_with_the_upload(end: str) -> None:
    async def run() -> None:
        store = Store()
        driver = Faults(InMemoryDriver(store=store))
        limits = {"min_part_size": PART, "max_parts": 100}
        async with Storage(driver, narrow=limits, part_size=PART) as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA[: PART + 1])
            driver.fail("put_content", when="after")
            with pytest.raises(UnavailableError):
                await writer.suspend()
            assert any(is_internal(path) for path in store.paths())
            await getattr(writer, end)()
        assert store.paths() == (["/a"] if end == "commit" else [])

    asyncio.run(run())
