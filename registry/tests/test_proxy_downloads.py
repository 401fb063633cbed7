"""Blobs on their way through a proxy: who gets what, and when."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import Mock

import pytest
from storagedriver_registry.digest import compute_digest
from storagedriver_registry.proxy import downloads as module
from storagedriver_registry.proxy.counting import Kind, ProxyCounter
from storagedriver_registry.proxy.downloads import Downloads
from storagedriver_registry.proxy.errors import (
    UpstreamBrokenError,
    UpstreamDeniedError,
    UpstreamDownError,
    UpstreamError,
    UpstreamUnknownError,
)
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.proxy.spool import Spool, SpoolReader, check_directory
from storagedriver_registry.storage import Stores, make_stores

from registry.tests.application import Watched
from registry.tests.upstreams import ScriptedUpstream
from storagedriver_core import ConfigurationError, NoSpaceError, Storage, UnavailableError

DATA = os.urandom(3_000_001)
DIGEST = compute_digest(DATA)
HALF = len(DATA) // 2


class Counting(ProxyCounter):
    def __init__(self) -> None:
        self.bytes: list[int] = []

    def fetched(self, kind: Kind, size: int) -> None:
        assert kind == "blob"
        self.bytes.append(size)


class World(NamedTuple):
    """All that a test needs."""

    upstream: ScriptedUpstream
    downloads: Downloads
    stores: Stores
    driver: Watched
    counter: Counting

    async def stored(self) -> bytes:
        """Give the blob once it is stored and linked."""
        await self.linked("a")
        return await self.stores.blobs.get(DIGEST)

    async def over(self) -> None:
        """Wait until nothing is on its way."""
        async with asyncio.timeout(60):
            while True:
                if self.downloads.size("a", DIGEST) is None:
                    return
                await asyncio.sleep(0.005)

    async def linked(self, name: str) -> None:
        """Wait until a repository has the blob."""
        async with asyncio.timeout(60):
            while True:
                if await self.stores.blobs.is_linked(name, DIGEST):
                    return
                await asyncio.sleep(0.005)


def run(test: Callable[[World], Awaitable[None]], folder: Path, *blobs: bytes) -> None:
    async def main() -> None:
        lost: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
        driver = Watched()
        async with Storage(driver) as storage:
            stores = make_stores(storage)
            upstream, counter = ScriptedUpstream(*(blobs or (DATA,))), Counting()
            fetched = Fetched(storage)
            downloads = Downloads(upstream, stores.blobs, fetched, str(folder), counter)
            await test(World(upstream, downloads, stores, driver, counter))
            await downloads.aclose()
            # Whatever became of them, no file is left open.
            await until_closed(folder)
            # And no error is one that nobody was told.
            del downloads
            gc.collect()
            assert lost == []

    asyncio.run(main())


def open_files() -> Iterator[str]:
    for entry in Path("/proc/self/fd").iterdir():
        try:
            yield str(entry.readlink())
        except OSError:
            continue


async def until_closed(folder: Path) -> None:
    """Wait until no file of a folder is open; threads close them."""
    async with asyncio.timeout(60):
        while any(at.startswith(str(folder)) for at in open_files()):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.005)


async def first(reader: SpoolReader) -> bytes:
    """Read what comes before the halt."""
    data = b""
    while len(data) < HALF:
        data += await anext(reader)
    assert len(data) == HALF
    return data


def test_one_is_fetched_for_all_who_wait(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.gate.clear()
        early = [await world.downloads.follow("a", DIGEST) for _ in range(20)]
        assert {size for size, _ in early} == {len(DATA)}
        beginnings = [await first(reader) for _, reader in early]
        # Late ones are given the beginning as well.
        late = [await world.downloads.follow("a", DIGEST) for _ in range(20)]
        beginnings += [await first(reader) for _, reader in late]
        assert set(beginnings) == {DATA[:HALF]}
        world.upstream.gate.set()
        rests = await asyncio.gather(*(reader.read_all() for _, reader in early + late))
        assert set(rests) == {DATA[HALF:]}
        assert await world.stored() == DATA
        assert world.upstream.calls == [("get", "a", str(DIGEST))]
        assert world.counter.bytes == [len(DATA)]

    run(test, tmp_path)


def test_nobody_waits_for_one_who_does_not_read(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        _, slow = await world.downloads.follow("a", DIGEST)
        _, fast = await world.downloads.follow("a", DIGEST)
        assert await fast.read_all() == DATA
        assert await world.stored() == DATA
        # The download is over; what came is still there for who has begun to read it.
        assert await slow.read_all() == DATA

    run(test, tmp_path)


def test_file_that_takes_long_to_close_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        spool = Spool(1, str(tmp_path))
        closing, go_on = threading.Event(), threading.Event()
        file = spool._file
        assert file is not None

        def close_slowly() -> None:
            closing.set()
            go_on.wait(30)
            file.close()

        spool._file = Mock(close=close_slowly)
        spool.release()
        # The event loop is here while the file is being closed.
        assert await asyncio.to_thread(closing.wait, 30)
        assert not file.closed
        go_on.set()

    run(test, tmp_path)


def test_one_who_does_not_read_takes_no_room_once_the_blob_is_stored(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.gate.clear()
        _, slow = await world.downloads.follow("a", DIGEST)
        beginning = await anext(slow)
        _, part = await world.downloads.follow("a", DIGEST, HALF - 10, 20)
        world.upstream.gate.set()
        assert await world.stored() == DATA
        await world.over()
        await until_closed(tmp_path)
        # Both go on from the storage, where they stood.
        assert beginning + await slow.read_all() == DATA
        assert await part.read_all() == DATA[HALF - 10 : HALF + 10]

    run(test, tmp_path)


def test_many_who_read_while_the_blob_is_stored_are_given_all_of_it(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.gate.clear()
        readers = [(await world.downloads.follow("a", DIGEST))[1] for _ in range(20)]
        reading = [asyncio.create_task(reader.read_all()) for reader in readers]
        world.upstream.gate.set()
        assert set(await asyncio.gather(*reading)) == {DATA}

    run(test, tmp_path)


def test_download_goes_on_when_everybody_has_left(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.gate.clear()
        _, reader = await world.downloads.follow("a", DIGEST)
        async with reader:
            await first(reader)
        world.upstream.gate.set()
        assert await world.stored() == DATA

    run(test, tmp_path)


def test_one_who_leaves_while_waiting_takes_nothing_along(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        leaving = asyncio.create_task(world.downloads.follow("a", DIGEST))
        staying = asyncio.create_task(world.downloads.follow("a", DIGEST))
        await asyncio.sleep(0)
        leaving.cancel()
        _, reader = await staying
        assert leaving.cancelled()
        assert await reader.read_all() == DATA

    run(test, tmp_path)


@pytest.mark.parametrize("error", [UpstreamBrokenError("wrong"), UpstreamDownError("cut")])
def test_what_does_not_end_well_is_whole_for_nobody(tmp_path: Path, error: UpstreamError) -> None:
    async def test(world: World) -> None:
        world.upstream.ending = error
        world.upstream.gate.clear()
        readers = [(await world.downloads.follow("a", DIGEST))[1] for _ in range(3)]
        await first(readers[0])
        world.upstream.gate.set()
        with pytest.raises(type(error)):
            await readers[0].read_all()
        for reader in readers[1:]:
            # Nor is anybody given more of what is worth nothing.
            with pytest.raises(type(error)):
                await anext(reader)
            reader.close()
        assert not await world.stores.blobs.is_stored(DIGEST)
        # The next one begins anew.
        world.upstream.ending = None
        _, reader = await world.downloads.follow("a", DIGEST)
        assert await reader.read_all() == DATA
        assert await world.stored() == DATA

    run(test, tmp_path)


@pytest.mark.parametrize("surplus", [-1, 1])
def test_other_than_the_announced_length_is_broken(tmp_path: Path, surplus: int) -> None:
    async def test(world: World) -> None:
        world.upstream.surplus = surplus
        _, reader = await world.downloads.follow("a", DIGEST)
        with pytest.raises(UpstreamBrokenError):
            await reader.read_all()
        assert not await world.stores.blobs.is_stored(DIGEST)

    run(test, tmp_path)


def test_last_byte_comes_when_all_is_right(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.closing.clear()
        _, reader = await world.downloads.follow("a", DIGEST)
        data = b""
        while len(data) < len(DATA) - 1:
            data += await anext(reader)
        assert data == DATA[:-1]
        last = asyncio.ensure_future(anext(reader))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not last.done()
        world.upstream.closing.set()
        assert await last == DATA[-1:]

    run(test, tmp_path)


def test_nothing_at_all_is_a_blob_too_and_may_be_wrong(tmp_path: Path) -> None:
    nothing = compute_digest(b"")

    async def test(world: World) -> None:
        world.upstream.ending = UpstreamBrokenError("wrong")
        size, reader = await world.downloads.follow("a", nothing)
        assert size == 0
        with pytest.raises(UpstreamBrokenError):
            await reader.read_all()
        world.upstream.ending = None
        _, reader = await world.downloads.follow("a", nothing)
        assert await reader.read_all() == b""

    run(test, tmp_path, b"")


def test_another_repository_joins_if_the_upstream_has_the_blob_there(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.gate.clear()
        world.upstream.errors["stat", "c"] = UpstreamUnknownError("c")
        _, one = await world.downloads.follow("a", DIGEST)
        _, other = await world.downloads.follow("b", DIGEST)
        with pytest.raises(UpstreamUnknownError):
            await world.downloads.follow("c", DIGEST)
        world.upstream.gate.set()
        assert await one.read_all() == await other.read_all() == DATA
        assert await world.stored() == DATA
        await world.linked("b")
        assert not await world.stores.blobs.is_linked("c", DIGEST)
        assert [what for what, _, _ in world.upstream.calls] == ["get", "stat", "stat"]

    run(test, tmp_path)


def test_what_is_refused_to_one_repository_is_fetched_from_another(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.errors["get", "secret"] = UpstreamDeniedError("secret")
        both = [world.downloads.follow(name, DIGEST) for name in ("secret", "a")]
        refused, given = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(refused, UpstreamDeniedError)
        assert isinstance(given, tuple)
        assert await given[1].read_all() == DATA

    run(test, tmp_path)


def test_range_of_what_has_come_is_given_from_there(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.gate.clear()
        assert world.downloads.follow_range(DIGEST, 0, 10) is None
        _, reader = await world.downloads.follow("a", DIGEST)
        await first(reader)
        assert world.downloads.follow_range(DIGEST, HALF, 10) is None
        across = world.downloads.follow_range(DIGEST, HALF - 10, 20)
        assert across is not None
        world.upstream.gate.set()
        assert await across.read_all() == DATA[HALF - 10 : HALF + 10]
        reader.close()

    run(test, tmp_path)


def test_end_of_the_server_is_an_error_for_who_waits(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.upstream.gate.clear()
        _, reader = await world.downloads.follow("a", DIGEST)
        await first(reader)
        await world.downloads.aclose()
        with pytest.raises(UpstreamDownError):
            await reader.read_all()
        assert not await world.stores.blobs.is_stored(DIGEST)

    run(test, tmp_path)


def test_end_of_the_server_lets_what_has_come_be_stored(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        _, reader = await world.downloads.follow("a", DIGEST)
        assert await reader.read_all() == DATA
        await world.downloads.aclose()
        assert await world.stores.blobs.is_linked("a", DIGEST)
        assert await world.stores.blobs.get(DIGEST) == DATA

    run(test, tmp_path)


def test_upstream_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.05)

    async def test(world: World) -> None:
        world.upstream.gate.clear()
        _, reader = await world.downloads.follow("a", DIGEST)
        with pytest.raises(UpstreamDownError, match="nothing came"):
            await reader.read_all()

    run(test, tmp_path)


def test_disk_that_is_full_is_an_error_for_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(spool: Spool, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Spool, "_write", write)

    async def test(world: World) -> None:
        _, reader = await world.downloads.follow("a", DIGEST)
        with pytest.raises(NoSpaceError, match=f"proxy.spool, {tmp_path}: full"):
            await reader.read_all()
        assert not await world.stores.blobs.is_stored(DIGEST)

    run(test, tmp_path)


def test_directory_that_is_gone_is_an_error_for_who_asks_and_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "spool"

    async def test(world: World) -> None:
        for _ in range(2):
            with pytest.raises(UnavailableError, match=f"proxy.spool, {folder}: No such file"):
                await world.downloads.follow("a", DIGEST)
        with pytest.raises(ConfigurationError, match=r"proxy\.spool: .*No such file"):
            check_directory(str(folder))
        folder.mkdir()
        check_directory(str(folder))
        _, reader = await world.downloads.follow("a", DIGEST)
        assert await reader.read_all() == DATA

    run(test, folder)


def test_storage_that_fails_keeps_nothing_from_clients(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for operation in ("put_content", "open_upload", "put_part", "complete_upload"):
            world.driver.fail(operation, NoSpaceError("full"))
        _, reader = await world.downloads.follow("a", DIGEST)
        assert await reader.read_all() == DATA
        await world.over()
        world.driver.heal()
        assert not await world.stores.blobs.is_stored(DIGEST)
        _, reader = await world.downloads.follow("a", DIGEST)
        assert await reader.read_all() == DATA
        assert await world.stored() == DATA

    run(test, tmp_path)
