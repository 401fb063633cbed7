"""Damage, full disks, kills and other processes: what becomes of the files of the cache."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from storagedriver_core import (
    ConfigurationError,
    FileInfo,
    ReadOptions,
    UnavailableError,
)
from storagedriver_core.middleware import _cache_files
from storagedriver_core.middleware._cache_files import CacheDirectory, Filling
from storagedriver_core.tests import cache_child
from storagedriver_core.tests.caching import DATA, MIB, Cached, Chunks, read, run


def flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def cut(file: Path, size: int) -> None:
    os.truncate(file, size)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space")


def stuck(*_: object) -> None:
    raise OSError(errno.EROFS, "read-only")


# So few that they are read as the entry is opened.
FEW = bytes(range(250))

DAMAGE: dict[str, Callable[[Path, int], None]] = {
    "first block": lambda file, size: flip(file, 5),
    "last block": lambda file, size: flip(file, size - 1),
    "checksums": lambda file, size: flip(file, size + 3),
    "description": lambda file, size: flip(file, -40),
    "footer": lambda file, size: flip(file, -2),
    "cut in the data": lambda file, size: cut(file, size // 2),
    "cut in the footer": lambda file, size: cut(file, file.stat().st_size - 1),
    "empty": lambda file, size: cut(file, 0),
    "zeros": lambda file, size: zero(file),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("data", [DATA, FEW], ids=["large", "small"])
def test_damaged_entry_is_dropped_and_the_right_bytes_come(
    tmp_path: Path, data: bytes, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a", data)
        await read(cached.storage)
        (entry,) = cached.entries()
        DAMAGE[damage](entry, len(data))
        assert await read(cached.storage) == data
        assert await read(cached.storage) == data
        # What the accounts said of a file that somebody has changed is put right when it counts.
        cached.driver._files.open()

    with caplog.at_level(logging.WARNING):
        run(tmp_path, test)
    assert "the copy of /a is dropped" in caplog.text


def test_few_bytes_take_one_turn_of_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(cached: Cached) -> None:
        await cached.store.put("/a", FEW)
        await read(cached.storage)
        turns = AsyncMock(side_effect=cached.driver.threads.run)
        monkeypatch.setattr(cached.driver.threads, "run", turns)
        assert await cached.storage.get_content("/a") == FEW
        assert turns.await_count == 1
        async with await cached.storage.reader("/a", offset=7, length=9) as reader:
            assert await reader.read() == FEW[7:16]
        assert cached.asked() == ["open_reader", "stat", "stat"]

    run(tmp_path, test)


@pytest.mark.parametrize("data", [DATA, FEW], ids=["large", "small"])
def test_description_may_be_longer_than_what_is_read_first(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cache_files, "_END", _cache_files._FOOTER.size)

    async def test(cached: Cached) -> None:
        await cached.store.put("/a", data)
        for _ in range(2):
            assert await read(cached.storage) == data
        assert cached.store.calls.count("open_reader") == 1

    run(tmp_path, test)


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
    monkeypatch.setattr(Filling, method, full)

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        assert await read(cached.storage) == DATA
        assert (cached.entries(), cached.filling()) == ([], [])

    run(tmp_path, test)


def test_no_room_for_a_new_entry_costs_speed_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CacheDirectory, "begin", full)

    async def test(cached: Cached) -> None:
        await cached.store.put("/a")
        assert await read(cached.storage) == DATA

    run(tmp_path, test)


def test_damaged_entry_that_cannot_be_dropped_costs_speed_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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
        monkeypatch.setattr(Chunks, "aclose", fail)
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
