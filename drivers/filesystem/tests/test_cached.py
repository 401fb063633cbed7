"""Looks on the event loop: only at what the kernel has in memory, and never a different answer."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from storagedriver_filesystem import _cached, _quick
from storagedriver_filesystem._cached import PART_BYTES, local_device
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._driver import FilesystemDriver
from storagedriver_filesystem._threads import Threads

from storagedriver_core import (
    ClosedError,
    ConfigurationError,
    PathNotFoundError,
    PermissionDeniedError,
    ReadOptions,
    StorageDriverError,
)

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import Opener


@pytest.fixture
def local(root: Path) -> None:
    """Skip where the temporary directory is on a filesystem that is always asked in threads."""
    if local_device(str(root.parent)) is None:
        pytest.skip("the temporary directory is on no local filesystem that is known")


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names of the calls that went to a thread."""
    names: list[str] = []
    submit = Threads.submit

    def note(self: Threads, function: Callable[..., Any], *args: Any) -> Any:
        names.append((args[0] if args and callable(args[0]) else function).__name__)
        return submit(self, function, *args)

    monkeypatch.setattr(Threads, "submit", note)
    return names


def test_what_the_kernel_has_in_memory_takes_no_thread(
    local: None, root: Path, opened: Opener, hops: list[str]
) -> None:
    async def main() -> None:
        async with opened() as driver:
            for name, data in (("empty", b""), ("small", b"x" * 65536), ("large", b"x" * 65537)):
                (root / name).write_bytes(data)
                hops.clear()
                assert await driver.local_path(f"/{name}") == str(root / name)
                assert hops == []
                assert await driver.get_content(f"/{name}") == data
                assert hops == (["read_file"] if name == "large" else [])

    asyncio.run(main())


def test_what_is_not_in_memory_is_left_to_a_thread(
    local: None, root: Path, opened: Opener, hops: list[str]
) -> None:
    async def main() -> None:
        async with opened() as driver:
            # The kernel may keep it all the same, or the disk be faster than its answer.
            for path in (f"/{number}" for number in range(50)):
                (root / path[1:]).write_bytes(b"x" * 4096)
                fd = os.open(root / path[1:], os.O_RDONLY)
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)
                hops.clear()
                assert await driver.get_content(path) == b"x" * 4096
                if hops:
                    break
            assert hops == ["read_file"]
            assert await driver.get_content(path) == b"x" * 4096
            assert hops == ["read_file"]

    if local_device("/dev/shm") == os.stat(root.parent).st_dev:
        pytest.skip("the temporary directory is in memory itself")
    asyncio.run(main())


LOOKS = [FilesystemDriver.get_content, FilesystemDriver.local_path]


@pytest.mark.parametrize("look", LOOKS)
def test_that_there_is_nothing_is_known_without_a_thread_until_there_is(
    local: None,
    root: Path,
    opened: Opener,
    hops: list[str],
    look: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with opened() as driver:
            for path in ("/missing", "/way/to/missing"):
                # The kernel may forget, as it may forget a file, but not each time.
                for _ in range(20):
                    hops.clear()
                    with pytest.raises(PathNotFoundError):
                        await look(driver, path)
                    if not hops:
                        break
                assert hops == []
            (root / "way" / "to").mkdir(parents=True)
            for name in ("missing", "way/to/missing"):
                (root / name).write_bytes(b"x")
                assert await look(driver, f"/{name}")

    with monkeypatch.context() as patch:
        patch.setattr(_cached, "_LOCAL_TYPES", frozenset({"tmpfs"}))
        if local_device(str(root.parent)) is not None:
            pytest.skip("a filesystem in memory remembers nothing of what is not there")
    asyncio.run(main())


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_no_file_is_the_same_error_as_from_a_thread(
    root: Path, opened: Opener, look: Callable[..., Any]
) -> None:
    expected: dict[str, type[StorageDriverError]] = {
        "/missing": PathNotFoundError,
        "/directory": PathNotFoundError,
        "/pipe": PathNotFoundError,
        "/file/below": PathNotFoundError,
        "/link": PermissionDeniedError,
        "/way/file": PermissionDeniedError,
    }

    async def main() -> None:
        async with opened() as driver:
            (root / "directory").mkdir()
            (root / "directory" / "file").write_bytes(b"x")
            (root / "file").write_bytes(b"x")
            os.mkfifo(root / "pipe")
            (root / "link").symlink_to(root / "file")
            (root / "way").symlink_to(root / "directory")
            assert await look(driver, "/file")
            for path, kind in expected.items():
                with pytest.raises(kind):
                    await look(driver, path)

    asyncio.run(main())


def test_root_that_is_a_link_is_followed_anew_each_time(tmp_path: Path) -> None:
    async def main() -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text(name)
        (tmp_path / "linked").symlink_to("one")
        driver = FilesystemDriver(FilesystemConfig(root_directory=tmp_path / "linked"))
        await driver.open()
        try:
            assert await driver.get_content("/file") == b"one"
            (tmp_path / "linked").unlink()
            (tmp_path / "linked").symlink_to("two")
            assert await driver.get_content("/file") == b"two"
        finally:
            await driver.aclose()

    asyncio.run(main())


def test_root_that_is_gone_is_no_missing_file(root: Path, opened: Opener) -> None:
    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(b"x")
            assert await driver.get_content("/file") == b"x"
            root.rename(root.parent / "elsewhere")
            for look in (driver.get_content, driver.local_path):
                for path in ("/file", "/missing", "/missing"):
                    with pytest.raises(ConfigurationError):
                        await look(path)
            (root.parent / "elsewhere").rename(root)
            assert await driver.get_content("/file") == b"x"

    asyncio.run(main())


def test_another_filesystem_in_the_tree_is_asked_in_threads_from_then_on(
    local: None, root: Path, opened: Opener, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cached, "local_device", lambda path: os.stat(path).st_dev + 1)

    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(b"x")
            hops.clear()
            for _ in range(2):
                assert await driver.get_content("/file") == b"x"
            monkeypatch.setattr(_quick, "open_cached", None)
            assert await driver.get_content("/file") == b"x"
            assert hops == ["read_file"] * 3

    asyncio.run(main())


def test_where_a_call_is_forbidden_threads_are_asked_from_then_on(
    local: None, root: Path, opened: Opener, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(fd: int) -> tuple[int, int, int]:
        raise PermissionError(errno.EPERM, "forbidden")

    monkeypatch.setattr(_quick, "status", forbidden)

    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(b"x")
            hops.clear()
            assert await driver.get_content("/file") == b"x"
            monkeypatch.setattr(_quick, "open_cached", None)
            assert await driver.local_path("/file") == str(root / "file")
            assert hops == ["read_file", "_local_path"]

    asyncio.run(main())


def test_looks_in_a_row_let_others_have_their_turn(local: None, root: Path, opened: Opener) -> None:
    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(b"x")
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.ensure_future(other())
            for _ in range(500):
                await driver.get_content("/file")
                await driver.local_path("/file")
            task.cancel()
            assert turns >= 15

    asyncio.run(main())


def test_closed_driver_knows_nothing(root: Path) -> None:
    async def main() -> None:
        driver = FilesystemDriver(FilesystemConfig(root_directory=root))
        await driver.open()
        (root / "file").write_bytes(b"x")
        assert await driver.get_content("/file") == b"x"
        await driver.aclose()
        with pytest.raises(ClosedError):
            await driver.get_content("/file")

    asyncio.run(main())


def test_only_local_filesystems_are_taken_for_such(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.mkdir(exist_ok=True)
    assert local_device("/proc") is None
    assert local_device(str(root / "missing")) is None
    monkeypatch.setattr(_cached, "_LOCAL_TYPES", frozenset({"proc"}))
    assert local_device(str(root)) is None
    assert local_device("/proc") == os.stat("/proc").st_dev


def test_stream_of_what_is_in_memory_takes_no_thread_but_to_open_and_close(
    local: None, root: Path, opened: Opener, hops: list[str]
) -> None:
    data = os.urandom(3 * PART_BYTES + 1)

    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(data)
            hops.clear()
            assert await read(driver, ReadOptions()) == data
            assert hops == ["open_stream", "close"]
            part = ReadOptions(offset=5, length=PART_BYTES + 7)
            assert await read(driver, part) == data[5 : PART_BYTES + 12]
            hops.clear()
            assert (
                await read(driver, ReadOptions(offset=5, length=PART_BYTES))
                == (data[5 : PART_BYTES + 5])
            )
            # What one call has read whole is closed at once.
            assert hops == ["open_stream"]

    asyncio.run(main())


def test_stream_reads_in_threads_what_is_not_in_memory(
    local: None, root: Path, opened: Opener, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(3 * PART_BYTES)
    read_at_once = _quick.read
    asked: list[int] = []

    def seldom(fd: int, offset: int, size: int) -> bytes:
        asked.append(offset)
        assert size <= PART_BYTES
        if len(asked) % 2:
            raise BlockingIOError(errno.EAGAIN, "not in memory")
        # As much as is there.
        return read_at_once(fd, offset, min(size, 5))

    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(data)
            monkeypatch.setattr(_quick, "read", seldom)
            hops.clear()
            assert await read(driver, ReadOptions()) == data
            assert hops.count("_read_next") == len(asked) // 2 + len(asked) % 2 > 0

    asyncio.run(main())


def test_stream_of_what_is_not_known_to_be_local_is_read_in_threads(
    root: Path, opened: Opener, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(2 * 2**20 + 1)
    monkeypatch.setattr(_cached, "_LOCAL_TYPES", frozenset({"none"}))

    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(data)
            hops.clear()
            assert await read(driver, ReadOptions()) == data
            assert hops == ["open_stream", "_read_next", "_read_next", "close"]

    asyncio.run(main())


def test_stream_of_another_filesystem_in_the_tree_is_read_in_threads(
    local: None, root: Path, opened: Opener, hops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cached, "local_device", lambda path: os.stat(path).st_dev + 1)

    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(bytes(2 * 2**20))
            hops.clear()
            await read(driver, ReadOptions())
            assert hops == ["open_stream", "_read_next", "close"]

    asyncio.run(main())


def test_read_at_the_end_gives_what_is_there_and_no_more(local: None, root: Path) -> None:
    (root.parent / "file").write_bytes(b"0123456789")
    with (root.parent / "file").open("rb") as file:
        assert _quick.read(file.fileno(), 8, 1000) == b"89"
        assert _quick.read(file.fileno(), 10, 1000) == b""


@pytest.mark.parametrize("is_local", [True, False])
def test_stream_gives_chunks_of_the_size_that_is_wished_for(
    is_local: bool, root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(2 * 2**20)
    types = frozenset({*_cached._LOCAL_TYPES, "overlay"}) if is_local else frozenset({"none"})
    monkeypatch.setattr(_cached, "_LOCAL_TYPES", types)

    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(data)
            async with await driver.open_reader("/file", ReadOptions()) as stream:
                begin = await stream.next_chunk()
                stream.chunk_size = 1000
                middle = await stream.next_chunk()
                stream.chunk_size = 2**20
                end = await stream.next_chunk()
            assert len(middle) == 1000 < len(end)
            assert data.startswith(begin + middle + end)

    asyncio.run(main())


def test_a_stream_gives_others_their_turn(local: None, root: Path, opened: Opener) -> None:
    async def main() -> None:
        async with opened() as driver:
            (root / "file").write_bytes(bytes(8 * PART_BYTES))
            turns: list[int] = []

            async def count() -> None:
                while True:
                    turns.append(len(turns))
                    await asyncio.sleep(0)

            async with await driver.open_reader("/file", ReadOptions()) as stream:
                counting = asyncio.ensure_future(count())
                await asyncio.sleep(0)
                seen = [len(turns)]
                while await stream.next_chunk():
                    seen.append(len(turns))
                counting.cancel()
            # Whoever sends the first chunk sees to the turns of others himself.
            assert seen[2:] == sorted(set(seen[2:]))

    asyncio.run(main())


async def read(driver: FilesystemDriver, options: ReadOptions) -> bytes:
    chunks = []
    async with await driver.open_reader("/file", options) as stream:
        while chunk := await stream.next_chunk():
            chunks.append(chunk)
    return b"".join(chunks)
