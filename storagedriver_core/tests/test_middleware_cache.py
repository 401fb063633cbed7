from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    ByteStream,
    Conditions,
    ConfigurationError,
    FileInfo,
    InvalidOffsetError,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    UnavailableError,
)
from storagedriver_core.middleware import _cache_files
from storagedriver_core.middleware._cache_files import CacheDirectory, Filling
from storagedriver_core.middleware.cache import CacheMiddleware, CacheParameters
from storagedriver_core.tests import cache_child
from storagedriver_core.tests.faults import Faults

MIB = 1024 * 1024
CHUNK = 200_000
DATA = bytes(range(256)) * 12_345  # no multiple of a block


class Store(Faults):
    """A store far away: it notes what it is asked, and sends in small chunks."""

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return _Chunks(self, await super().open_reader(path, options))

    async def put(self, path: str, data: bytes = DATA) -> None:
        """Store an object behind the back of the cache."""
        await self.driver.put_content(path, data, PutOptions())


class _Chunks(ByteStream):
    def __init__(self, store: Store, stream: ByteStream) -> None:
        self.info = stream.info
        self._store = store
        self._stream = stream
        self._rest = b""

    async def next_chunk(self) -> bytes:
        self._store.calls.append("chunk")
        await asyncio.sleep(0)
        if not self._rest:
            self._rest = await self._stream.next_chunk()
        chunk, self._rest = self._rest[:CHUNK], self._rest[CHUNK:]
        return chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class Cached:
    """A storage with a cache, and what is behind it."""

    def __init__(self, folder: Path, store: StorageDriver | None = None, **given: Any) -> None:
        self.folder = folder
        self.store = store if isinstance(store, Store) else Store(store or InMemoryDriver())
        parameters = CacheParameters(**{"directory": folder, "max_bytes": 64 * MIB, **given})
        self.driver = CacheMiddleware(self.store, parameters)
        self.storage = Storage(self.driver)

    def asked(self) -> list[str]:
        """Give what the store was asked since the last time."""
        calls = [call for call in self.store.calls if call not in ("chunk", "read")]
        self.store.calls.clear()
        return calls

    def entries(self) -> list[Path]:
        return [path for path in (self.folder / "entries").rglob("*") if path.is_file()]

    def filling(self) -> list[Path]:
        return list((self.folder / "filling").iterdir())

    def used(self) -> int:
        return sum(path.stat().st_size for path in (*self.entries(), *self.filling()))

    def accounts(self) -> int:
        return int((self.folder / "accounts").read_bytes())


def run(folder: Path, test: Callable[[Cached], Awaitable[None]], **given: Any) -> None:
    async def main() -> None:
        cached = Cached(folder, **given)
        async with cached.storage:
            await test(cached)
            assert cached.accounts() == cached.used()

    asyncio.run(main())


async def read(storage: Storage, path: str = "/a", **options: Any) -> bytes:
    async with await storage.reader(path, **options) as reader:
        return await reader.read()


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


def flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def cut(file: Path, size: int) -> None:
    os.truncate(file, size)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "first block": lambda file: flip(file, 5),
    "last block": lambda file: flip(file, len(DATA) - 1),
    "checksums": lambda file: flip(file, len(DATA) + 3),
    "description": lambda file: flip(file, -40),
    "footer": lambda file: flip(file, -2),
    "cut in the data": lambda file: cut(file, 1000),
    "cut in the footer": lambda file: cut(file, file.stat().st_size - 1),
    "empty": lambda file: cut(file, 0),
    "zeros": zero,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_entry_is_dropped_and_the_right_bytes_come(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        await read(cached.storage)
        (entry,) = cached.entries()
        DAMAGE[damage](entry)
        assert await read(cached.storage) == DATA
        assert await read(cached.storage) == DATA
        # What the accounts said of a file that somebody has changed is put right when it counts.
        cached.driver._files.open()

    with caplog.at_level(logging.WARNING):
        run(tmp_path, test)
    assert "the copy of /a is dropped" in caplog.text


def test_read_goes_on_at_the_store_where_a_block_is_damaged(tmp_path: Path) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        await read(cached.storage)
        (entry,) = cached.entries()
        async with await cached.storage.reader("/a") as reader:
            begin = await reader.read(100)
            flip(entry, 2 * MIB)
            assert begin + await reader.read() == DATA
        assert cached.store.calls.count("open_reader") == 2

    run(tmp_path, test)


@pytest.mark.parametrize("method", ["write", "publish"])
def test_full_disk_costs_speed_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Filling, method, full)

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        assert await read(cached.storage) == DATA
        assert (cached.entries(), cached.filling()) == ([], [])

    run(tmp_path, test)


def test_no_room_for_a_new_entry_costs_speed_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(CacheDirectory, "begin", full)

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        assert await read(cached.storage) == DATA

    run(tmp_path, test)


def test_damaged_entry_that_cannot_be_dropped_costs_speed_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stuck(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        await read(cached.storage)
        flip(cached.entries()[0], -40)
        with monkeypatch.context() as patch:
            patch.setattr(CacheDirectory, "drop", stuck)
            assert await read(cached.storage) == DATA

    with caplog.at_level(logging.WARNING):
        run(tmp_path, test)
    assert "the copy of /a stays" in caplog.text


@pytest.mark.parametrize(
    "description",
    ['{"path": "/a", "size": 1, "mod_time": null, "new": 1}', '{"path": "/a"}', "[1]", "x"],
)
def test_entry_of_another_release_is_dropped(tmp_path: Path, description: str) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_cache_files, "_describe", lambda info: description.encode())
            await read(cached.storage)
        cached.asked()
        for _ in range(2):
            assert await read(cached.storage) == DATA
        assert cached.asked() == ["open_reader", "stat"]

    run(tmp_path, test)


def test_file_that_cannot_be_deleted_costs_neither_its_descriptor_nor_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stuck(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        async with await cached.storage.reader("/a") as reader:
            await reader.read(10)
            (fill,) = cached.driver._running
            descriptor = fill._file._descriptor
            monkeypatch.setattr(CacheDirectory, "give_back", stuck)
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)
        assert not cached.driver._running
        cached.driver._files.open()  # counts anew

    with caplog.at_level(logging.WARNING):
        run(tmp_path, test)
    assert "what was kept of /a stays" in caplog.text


def test_all_is_closed_though_a_stream_of_the_store_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise UnavailableError("it is gone")

    async def main() -> None:
        cached = Cached(tmp_path)
        await cached.driver.open()
        streams = []
        for path in ("/a", "/b"):
            await cached.store.put(path)
            streams.append(await cached.driver.open_reader(path, ReadOptions()))
        monkeypatch.setattr(_Chunks, "aclose", fail)
        closed = AsyncMock()
        monkeypatch.setattr(cached.store, "aclose", closed)
        with pytest.raises(UnavailableError):
            await cached.driver.aclose()
        assert cached.filling() == []
        assert cached.driver.threads._pool is None
        closed.assert_awaited_once()
        for stream in streams:
            await stream.aclose()

    asyncio.run(main())


def test_directory_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="cache: "):
            await Cached(tmp_path / "file" / "cache").storage.open()

    asyncio.run(main())


def test_entry_that_takes_the_place_of_another_is_counted_once(tmp_path: Path) -> None:
    """As of two processes that fill it at the same time."""
    directory = CacheDirectory(tmp_path, MIB)
    directory.open()
    fillings = [directory.begin(FileInfo("/a", 1000, etag="x")) for _ in range(2)]
    for filling in fillings:
        assert filling is not None
        filling.write(bytes(1000))
        filling.publish()
        filling.close()
    (entry,) = [path for path in (tmp_path / "entries").rglob("*") if path.is_file()]
    assert int((tmp_path / "accounts").read_bytes()) == entry.stat().st_size


def child(root: Path, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", cache_child.__name__, str(root), str(cache), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "still").mkdir(parents=True)
    for number in range(cache_child.OBJECTS):
        (folder / "still" / str(number)).write_bytes(cache_child.content(number))
    (folder / "still" / "large").write_bytes(cache_child.LARGE)
    return folder


def test_what_a_killed_process_was_filling_is_no_entry_and_its_room_comes_back(
    tmp_path: Path, root: Path
) -> None:
    cache = tmp_path / "cache"
    directory = CacheDirectory(cache, cache_child.MAX_BYTES)
    with child(root, cache, "half") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "half\n"
            directory.open()  # a living process's file stays
            assert len(list((cache / "filling").iterdir())) == 1
        finally:
            process.kill()
    directory.open()
    assert list((cache / "filling").iterdir()) == []
    assert int((cache / "accounts").read_bytes()) == 0

    async def again() -> None:
        async with cache_child.storage(root, cache) as store:
            assert await store.get_content("/still/large") == cache_child.LARGE

    asyncio.run(again())


def test_two_processes_share_a_directory_and_its_bound(tmp_path: Path, root: Path) -> None:
    cache = tmp_path / "cache"
    processes = [child(root, cache, "many", str(seed)) for seed in (1, 2)]
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "wrong 0\n")
    sizes = [path.stat().st_size for path in (cache / "entries").rglob("*") if path.is_file()]
    assert 0 < sum(sizes) <= cache_child.MAX_BYTES
    assert int((cache / "accounts").read_bytes()) == sum(sizes)
    assert list((cache / "filling").iterdir()) == []
