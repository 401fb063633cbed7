"""Neither side gathers what the other does not take, in either direction.

Both sides run on the loop of the test. So a side that went on without the other would do so while
the test lets the loop turn, thousands of times, and each turn is good for a piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Buffer,
    ByteStream,
    DriverMiddleware,
    FileInfo,
    ListOptions,
    Part,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    Upload,
)

from .serving import BOUND, remote, run, served

MIB = 1 << 20
PIECE = 256 * 1024
PIECES = 512
"""128 MiB in all."""

ON_THE_WAY = 32 * MIB
"""Bytes that may be between the two: the kernel's buffers, for the most part."""

AHEAD = 8 * MIB
"""Bytes that a writer may be ahead of what the driver has taken: it waits for each answer."""

TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "unix"])


@asynccontextmanager
async def behind_server(
    transport: str, directory: Path, driver: StorageDriver, **options: Any
) -> AsyncIterator[Storage]:
    """Give a storage whose driver is behind a server."""
    token = "token" if transport == "tcp" else None
    listen = "127.0.0.1:0" if transport == "tcp" else f"unix:{directory}/socket"
    async with (
        served(listen, driver, [token] if token else [], **options) as address,
        Storage(remote(address, token=token)) as storage,
    ):
        yield storage


async def let_it_run() -> None:
    for _ in range(20_000):
        await asyncio.sleep(0)


class Fountain(DriverMiddleware):
    """Its one object and its one directory are large, and it counts what it has given of them."""

    given = 0

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return _Water(self, FileInfo(path, size=PIECE * PIECES))

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        for number in range(PIECES):
            page = [FileInfo(f"/{number:04}-{each:04}-{'x' * 200}") for each in range(1000)]
            self.given += sum(len(info.path) for info in page)
            yield page


class _Water(ByteStream):
    def __init__(self, fountain: Fountain, info: FileInfo) -> None:
        self.info = info
        self._fountain = fountain

    async def next_chunk(self) -> bytes:
        if self._fountain.given == self.info.size:
            return b""
        self._fountain.given += PIECE
        return bytes(PIECE)


@TRANSPORTS
@run
async def test_reader_that_is_not_read_stops_the_driver(transport: str, tmp_path: Path) -> None:
    driver = Fountain(InMemoryDriver())
    async with (
        behind_server(transport, tmp_path, driver) as storage,
        await storage.reader("/a") as reader,
    ):
        taken = len(await reader.read(1000))
        for _ in range(2):
            await let_it_run()
            assert taken <= driver.given <= taken + ON_THE_WAY
            taken += len(await reader.read(16 * MIB))
        # And all of it comes to who goes on.
        while chunk := await reader.read(MIB):
            taken += len(chunk)
            assert driver.given <= taken + ON_THE_WAY
        assert taken == driver.given == PIECE * PIECES


@TRANSPORTS
@run
async def test_listing_that_is_not_read_stops_the_driver(transport: str, tmp_path: Path) -> None:
    driver = Fountain(InMemoryDriver())
    async with behind_server(transport, tmp_path, driver) as storage:
        listing = storage.list("/")
        taken = len((await anext(listing)).path)
        await let_it_run()
        assert taken <= driver.given <= taken + ON_THE_WAY
        await listing.aclose()


class Slow(DriverMiddleware):
    """Takes no more parts after the first, until it is told to."""

    def __init__(self) -> None:
        super().__init__(InMemoryDriver())
        self.asked = 0
        self.waits = asyncio.Event()
        self.go_on = asyncio.Event()

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        self.asked += sum(map(len, data))
        if number > 1:
            self.waits.set()
            await self.go_on.wait()
        return await super().put_part(upload, number, offset, data)


@TRANSPORTS
@run
async def test_driver_that_takes_nothing_stops_the_writer(transport: str, tmp_path: Path) -> None:
    driver = Slow()
    async with behind_server(transport, tmp_path, driver) as storage:
        accepted = 0

        async def write() -> None:
            nonlocal accepted
            async with await storage.writer("/a") as writer:
                for _ in range(PIECES // 4):
                    await writer.write(bytes(PIECE))
                    accepted += PIECE
                await writer.commit()

        async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:
            group.create_task(write())
            await driver.waits.wait()
            await let_it_run()
            assert PIECE <= driver.asked <= AHEAD and accepted <= AHEAD
            driver.go_on.set()
        assert (await storage.stat("/a")).size == accepted == PIECE * PIECES // 4


class Gathering(DriverMiddleware):
    """Takes its time for each object, and counts what it holds meanwhile."""

    held = 0
    most = 0

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        self.held += len(data)
        self.most = max(self.most, self.held)
        for _ in range(1000):
            await asyncio.sleep(0)
        self.held -= len(data)
        return await super().put_content(path, data, options)


@TRANSPORTS
@run
async def test_bodies_wait_for_room_in_the_server(transport: str, tmp_path: Path) -> None:
    driver = Gathering(InMemoryDriver())
    async with behind_server(transport, tmp_path, driver, held_bytes=2 * MIB) as storage:
        sizes = [PIECE, MIB] * 8
        async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:
            for number, size in enumerate(sizes):
                group.create_task(storage.put_content(f"/{number}", bytes(size)))
        assert PIECE < driver.most <= 2 * MIB
        stored = [(await storage.stat(f"/{number}")).size for number in range(len(sizes))]
        assert stored == sizes


class Stuck(DriverMiddleware):
    """Comes to no end with one of its objects."""

    def __init__(self) -> None:
        super().__init__(InMemoryDriver())
        self.waits = asyncio.Event()

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        if path == "/stuck":
            self.waits.set()
            await asyncio.Event().wait()
        return await super().put_content(path, data, options)


@TRANSPORTS
@run
async def test_body_for_which_nobody_waits_takes_no_room(transport: str, tmp_path: Path) -> None:
    driver = Stuck()
    async with (
        asyncio.timeout(BOUND),
        behind_server(transport, tmp_path, driver, held_bytes=2 * MIB) as storage,
    ):
        for _ in range(2):
            has_room = asyncio.create_task(storage.put_content("/stuck", bytes(MIB)))
            await driver.waits.wait()
            driver.waits.clear()
            has_none = asyncio.create_task(storage.put_content("/never", bytes(MIB)))
            await let_it_run()
            for task in (has_none, has_room):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        await storage.put_content("/a", bytes(MIB))
        assert (await storage.stat("/a")).size == MIB
