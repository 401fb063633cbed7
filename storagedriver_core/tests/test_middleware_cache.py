"""What is served from the cache, and when the store is asked."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    ByteStream,
    Conditions,
    FileInfo,
    InvalidOffsetError,
    PathNotFoundError,
    ReadOptions,
    Storage,
)
from storagedriver_core.tests.caching import CHUNK, DATA, Cached, Store, read, run


def test_second_read_comes_from_the_disk_and_asks_for_the_etag_alone(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        assert await read(cached.storage) == DATA
        assert cached.asked() == ["open_reader"]
        assert await read(cached.storage) == DATA
        assert await cached.storage.get_content("/a") == DATA
        assert await read(cached.storage, offset=300_000, length=500_000) == DATA[300_000:800_000]
        assert await read(cached.storage, suffix=7) == DATA[-7:]
        assert await read(cached.storage, offset=len(DATA)) == b""
        assert cached.asked() == ["stat"] * 5
        with pytest.raises(InvalidOffsetError):
            await read(cached.storage, offset=len(DATA) + 1)

    run(tmp_path, test)


def test_entry_lasts_over_a_restart_with_all_that_is_known(tmp_path: Path) -> None:
    async def fill(cached: Cached) -> None:
        await cached.storage.put_content("/a", DATA, content_type="text/x", metadata={"k": "v"})
        await read(cached.storage)

    async def again(cached: Cached) -> None:
        known = await cached.storage.stat("/a")
        cached.asked()
        async with await cached.storage.reader("/a") as reader:
            assert reader.info == known
            assert await reader.read() == DATA
        assert cached.asked() == ["stat"]

    store = InMemoryDriver()
    run(tmp_path, fill, store=store)
    run(tmp_path, again, store=store)


def test_object_that_was_replaced_elsewhere_is_fetched_anew(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        await read(cached.storage)
        await cached.store.put("/a", b"new")
        assert await read(cached.storage) == b"new"
        assert await read(cached.storage) == b"new"
        assert len(cached.entries()) == 1
        await cached.store.driver.delete("/a")
        with pytest.raises(PathNotFoundError):
            await read(cached.storage)
        assert cached.entries() == []

    run(tmp_path, test)


def test_below_immutable_directories_the_store_is_not_asked(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        assert not cached.storage.capabilities.fresh_reads
        for path in ("/still/a", "/stills/a"):
            await cached.store.put(path)
            await read(cached.storage, path)
        cached.asked()
        assert await read(cached.storage, "/still/a") == DATA
        assert await read(cached.storage, "/still/a", length=10) == DATA[:10]
        assert cached.asked() == []
        await read(cached.storage, "/stills/a")
        assert cached.asked() == ["stat"]

    run(tmp_path, test, immutable=["/still"])


def test_what_this_process_changes_there_is_seen_at_once(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        storage = cached.storage
        for path in ("/still/a/b", "/still/c"):
            await storage.put_content(path, DATA)
            assert await read(storage, path) == DATA
        await storage.put_content("/still/c", b"other")
        assert await read(storage, "/still/c") == b"other"
        await storage.put_content("/x", b"moved")
        await storage.move("/x", "/still/c")
        assert await read(storage, "/still/c") == b"moved"
        await read(storage, "/still/a/b")
        cached.asked()
        await read(storage, "/still/a/b")
        assert cached.asked() == []
        await storage.delete("/still/a")
        with pytest.raises(PathNotFoundError):
            await read(storage, "/still/a/b")
        cached.asked()
        # A new file is no reason to ask for the others.
        await read(storage, "/still/c")
        await storage.put_content("/still/new", b"")
        cached.asked()
        await read(storage, "/still/c")
        assert cached.asked() == []

    run(tmp_path, test, immutable=["/still"])


def test_commit_to_another_path_is_seen_at_once(tmp_path: Path) -> None:
    async def commit(storage: Storage, data: bytes) -> None:
        async with await storage.writer("/elsewhere") as writer:
            await writer.write(data)
            await writer.commit(to="/still/a")

    async def test(cached: Cached) -> None:
        storage = cached.storage
        await storage.put_content("/still/a", DATA)
        async with await storage.reader("/still/a") as reader:
            await reader.read(10)
            await commit(storage, b"one")  # while it comes
            assert await reader.read() == DATA[10:]
        assert await read(storage, "/still/a") == b"one"
        await commit(storage, b"two")  # of what need not be asked for
        assert await read(storage, "/still/a") == b"two"

    run(tmp_path, test, immutable=["/still"])


def test_many_readers_of_a_cold_object_cause_one_request(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        storage = cached.storage
        for path in ("/still/a", "/still/alone"):
            await cached.store.put(path)
        await read(storage, "/still/alone")
        of_one = cached.store.calls.count("chunk")
        cached.store.calls.clear()
        came = await asyncio.gather(*(read(storage, "/still/a") for _ in range(50)))
        assert all(data == DATA for data in came)
        assert cached.store.calls.count("open_reader") == 1
        assert cached.store.calls.count("chunk") == of_one
        assert cached.filling() == []

    run(tmp_path, test, immutable=["/still"])


def test_reader_goes_on_where_the_first_one_has_left(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        first = await cached.storage.reader("/a")
        await first.read(CHUNK)
        second = await cached.storage.reader("/a")
        await first.aclose()
        async with second:
            assert await second.read() == DATA
        assert cached.store.calls.count("open_reader") == 1
        assert await read(cached.storage) == DATA
        assert cached.store.calls.count("open_reader") == 1

    run(tmp_path, test)


def test_nothing_is_kept_or_read_ahead_of_an_object_that_nobody_reads_to_its_end(
    tmp_path: Path,
) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        async with await cached.storage.reader("/a") as reader:
            await reader.read(10)
            assert len(cached.filling()) == 1
        assert cached.store.calls.count("chunk") == 1
        assert (cached.entries(), cached.filling()) == ([], [])

    run(tmp_path, test)


def test_reader_goes_on_at_the_store_when_the_one_who_fetched_is_cancelled(tmp_path: Path) -> None:
    class Stuck(Store):
        gate: asyncio.Event | None = None

        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            stream = await super().open_reader(path, options)
            if self.gate is None:
                self.gate = asyncio.Event()
                stream.next_chunk = self._wait  # type: ignore[method-assign]  # it hangs
            return stream

        async def _wait(self) -> bytes:
            self.calls.append("stuck")
            await asyncio.sleep(600)
            return b""

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        async with asyncio.timeout(60):
            leader = asyncio.create_task(read(cached.storage))
            while "stuck" not in cached.store.calls:  # noqa: ASYNC110  # the store says so
                await asyncio.sleep(0)
            follower = asyncio.create_task(read(cached.storage))
            while not any(fill._readers == 2 for fill in cached.driver._running):  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0)
            leader.cancel()
            assert await follower == DATA
        assert cached.filling() == []

    run(tmp_path, test, store=Stuck(InMemoryDriver()))


def test_object_that_is_replaced_while_it_comes_becomes_no_entry(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        storage = cached.storage
        await storage.put_content("/still/a", DATA)
        async with await storage.reader("/still/a") as reader:
            await reader.read(10)
            await storage.put_content("/still/a", b"new")
            assert await read(storage, "/still/a") == b"new"
            assert await reader.read() == DATA[10:]
        assert await read(storage, "/still/a") == b"new"

    run(tmp_path, test, immutable=["/still"])


def test_all_files_together_stay_below_the_bound(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        for number in range(12):
            await cached.store.put(f"/{number}", os.urandom(100_000))
            async with await cached.storage.reader(f"/{number}") as reader:
                await reader.read(10)
                assert cached.used() <= 350_000
                assert cached.accounts() <= 350_000
                await reader.read()
        assert 1 <= len(cached.entries()) <= 3

    run(tmp_path, test, max_bytes=350_000, max_object_bytes=350_000)


def test_what_was_not_used_for_longest_is_dropped(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        store, storage = cached.store, cached.storage
        for number in range(3):
            await store.put(f"/{number}", os.urandom(100_000))
            await read(storage, f"/{number}")
            for entry in cached.entries():  # the clock of files is coarse
                used = entry.stat().st_mtime_ns - 10**9
                os.utime(entry, ns=(used, used))
        await read(storage, "/0")
        await store.put("/3", os.urandom(100_000))
        await read(storage, "/3")
        store.calls.clear()
        for number in (0, 3, 2, 1):
            await read(storage, f"/{number}", length=1)
        assert cached.asked() == ["stat", "stat", "stat", "open_reader"]

    run(tmp_path, test, max_bytes=380_000, max_object_bytes=380_000)


@pytest.mark.parametrize(("size", "kept"), [(10_000, True), (10_001, False)])
def test_object_that_is_too_large_is_only_passed_on(tmp_path: Path, size: int, kept: bool) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a", bytes(size))
        assert await read(cached.storage) == bytes(size)
        assert bool(cached.entries()) == kept

    run(tmp_path, test, max_object_bytes=10_000)


def test_store_without_etags_is_not_cached(tmp_path: Path) -> None:
    class Nameless(Store):
        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            stream = await super().open_reader(path, options)
            stream.info = FileInfo(path, stream.info.size)
            return stream

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        assert await read(cached.storage) == DATA
        assert (cached.entries(), cached.filling()) == ([], [])

    run(tmp_path, test, store=Nameless(InMemoryDriver()))


def test_object_of_another_size_is_fetched_anew_though_its_etag_is_the_same(
    tmp_path: Path,
) -> None:
    """As of a store that counts, and has begun anew."""

    class Same(Store):
        async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
            return replace(await super().stat(path, conditions), etag="1")

        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            stream = await super().open_reader(path, options)
            stream.info = replace(stream.info, etag="1")
            return stream

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        assert await read(cached.storage) == DATA
        await cached.store.put("/a", b"new")
        assert await read(cached.storage) == b"new"

    run(tmp_path, test, store=Same(InMemoryDriver()))
