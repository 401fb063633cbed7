"""What is kept of memory that a caller has written from: nothing, unless nobody changes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import Buffer, Part, Storage, SyncStorage, Upload

PART = 16
PARTS = {"min_part_size": PART, "max_parts": 100}
DATA = bytes(range(200))


def on(driver: InMemoryDriver, work: Callable[[Storage], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Storage(driver, narrow=PARTS, part_size=PART) as storage:
            await work(storage)

    asyncio.run(run())


class Noting(InMemoryDriver):
    """Notes whose memory the parts are."""

    def __init__(self) -> None:
        super().__init__()
        self.owners: list[object] = []

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        self.owners += [each.obj if isinstance(each, memoryview) else each for each in data]
        return await super().put_part(upload, number, offset, data)


def kept(driver: Noting, memory: bytearray) -> bool:
    owned = {owner is memory for owner in driver.owners}
    assert len(owned) == 1
    return owned.pop()


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_memory_is_not_copied_and_any_other_is(frozen: bool) -> None:
    driver, memory = Noting(), bytearray(DATA)

    async def work(storage: Storage) -> None:
        async with await storage.writer("/a") as writer:
            await writer.write(memoryview(memory)[:48], frozen=frozen)
            await writer.write(memoryview(memory)[48:], frozen=frozen)
            await writer.commit()
        assert await storage.get_content("/a") == DATA

    on(driver, work)
    assert kept(driver, memory) is frozen


@pytest.mark.parametrize("frozen", [False, True])
def test_what_an_iterator_gives_is_copied_unless_it_is_frozen(frozen: bool) -> None:
    driver, memory = Noting(), bytearray(DATA)

    async def body() -> AsyncIterator[Buffer]:
        for at in range(0, len(DATA), PART // 2):
            yield memoryview(memory)[at : at + PART // 2]

    async def work(storage: Storage) -> None:
        await storage.put_content("/a", body(), frozen=frozen)
        assert await storage.get_content("/a") == DATA

    on(driver, work)
    assert kept(driver, memory) is frozen


@pytest.mark.parametrize("size", [10, len(DATA)])
def test_iterator_may_use_its_memory_again(size: int) -> None:
    async def body() -> AsyncIterator[Buffer]:
        memory = bytearray(5)
        for at in range(0, size, 5):
            memory[:] = DATA[at : at + 5]
            yield memoryview(memory)
        memory[:] = bytes(5)

    async def work(storage: Storage) -> None:
        await storage.put_content("/a", body())
        assert await storage.get_content("/a") == DATA[:size]

    on(InMemoryDriver(), work)


@pytest.mark.parametrize("wrap", [lambda memory: memory, memoryview], ids=["itself", "view"])
def test_memory_may_change_after_a_write(wrap: Callable[[bytearray], Buffer]) -> None:
    async def work(storage: Storage) -> None:
        memory = bytearray(10)
        async with await storage.writer("/a") as writer:
            for at in range(0, len(DATA), 10):
                memory[:] = DATA[at : at + 10]
                await writer.write(wrap(memory))
                memory[:] = bytes(10)
            await writer.commit()
        assert await storage.get_content("/a") == DATA

    on(InMemoryDriver(), work)


@pytest.mark.parametrize("frozen", [False, True])
def test_it_is_the_same_without_an_event_loop(frozen: bool) -> None:
    driver, memory = Noting(), bytearray(DATA)
    view = memoryview(memory)
    with SyncStorage(Storage(driver, narrow=PARTS, part_size=PART)) as storage:
        with storage.writer("/a") as writer:
            writer.write(view, frozen=frozen)
            writer.commit()
        assert kept(driver, memory) is frozen
        driver.owners.clear()
        storage.put_content("/b", iter([view[:100], view[100:]]), frozen=frozen)
        assert storage.get_content("/a") == storage.get_content("/b") == DATA
    assert kept(driver, memory) is frozen
