"""Files that stay open for a moment: never a different answer, and not for long."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from storagedriver_filesystem import _held, _quick
from storagedriver_filesystem._cached import local_device
from storagedriver_filesystem._driver import FilesystemDriver

from storagedriver_core import PathNotFoundError

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import Opener

LOOKS = [FilesystemDriver.get_content, FilesystemDriver.local_path]
Test = Callable[[FilesystemDriver], Awaitable[None]]


class Clock:
    """Time that goes on when it is told to; that of day may be set, too."""

    now = 1000.0
    of_day: float | None = None

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time() if self.of_day is None else self.of_day


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_held, "time", clock)
    return clock


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold files that were changed a moment ago, too."""
    monkeypatch.setattr(_held, "_SETTLED_SECONDS", -1.0)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names of the files to which the whole way was gone."""
    names: list[str] = []
    opened = _quick.open_cached

    def note(path: bytes, how: _quick.Cached) -> int:
        names.append(os.path.basename(path).decode())
        return opened(path, how)

    monkeypatch.setattr(_quick, "open_cached", note)
    return names


@pytest.fixture
def run(root: Path, opened: Opener, clock: Clock) -> Callable[[Test], None]:
    """Run a test with a driver, in a time that stands still."""
    if local_device(str(root.parent)) is None:
        pytest.skip("the temporary directory is on no local filesystem that is known")

    def run(test: Test) -> None:
        async def main() -> None:
            async with opened() as driver:
                await test(driver)

        asyncio.run(main())

    return run


@pytest.mark.parametrize("look", LOOKS)
def test_way_to_a_file_is_gone_once_in_a_tenth_of_a_second(
    run: Callable[[Test], None],
    root: Path,
    clock: Clock,
    at_once: None,
    ways: list[str],
    look: Callable[..., Awaitable[object]],
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")
        expected = await look(driver, "/file")
        for now, count in ((1000.0, 1), (1000.09, 1), (1000.11, 2), (1000.2, 2), (1000.22, 3)):
            clock.now = now
            assert await look(driver, "/file") == expected
            assert ways.count("file") == count

    run(test)


def write(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"new")


def replace(file: Path) -> None:
    file.with_name("new").write_bytes(b"new")
    file.with_name("new").rename(file)


def recreate(file: Path) -> None:
    file.unlink()
    file.write_bytes(b"new")


@pytest.mark.parametrize("change", [write, replace, recreate])
def test_change_is_seen_at_once(
    run: Callable[[Test], None], root: Path, at_once: None, change: Callable[[Path], None]
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        file = root / "file"
        file.write_bytes(b"old")
        before = file.stat().st_ctime_ns
        assert await driver.get_content("/file") == b"old"
        # A change within one tick of the kernel's clock is told apart by waiting for another.
        while file.stat().st_ctime_ns == before:
            os.utime(file)
        assert await driver.get_content("/file") == b"old"
        before = file.stat().st_ctime_ns
        change(file)
        while file.stat().st_ctime_ns == before:
            change(file)
        assert await driver.get_content("/file") == b"new"

    run(test)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.rename(f"{file}-away")])
def test_file_that_is_gone_is_not_found_at_once(
    run: Callable[[Test], None],
    root: Path,
    at_once: None,
    look: Callable[..., Awaitable[object]],
    change: Callable[[Path], object],
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")
        changed = (root / "file").stat().st_ctime_ns
        while (root / "file").stat().st_ctime_ns == changed:
            os.utime(root / "file")
        await look(driver, "/file")
        await asyncio.sleep(0.02)  # another tick of the kernel's clock
        change(root / "file")
        with pytest.raises(PathNotFoundError):
            await look(driver, "/file")
        async with asyncio.timeout(30):
            while open_files(root):  # noqa: ASYNC110  # a thread closes it, and tells nobody
                await asyncio.sleep(0.001)

    run(test)


@pytest.mark.parametrize("look", LOOKS)
def test_directory_that_was_renamed_is_noticed_after_a_tenth_of_a_second(
    run: Callable[[Test], None],
    root: Path,
    clock: Clock,
    at_once: None,
    look: Callable[..., Awaitable[object]],
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "directory").mkdir()
        (root / "directory" / "file").write_bytes(b"x")
        await look(driver, "/directory/file")
        (root / "directory").rename(root / "elsewhere")
        clock.now += 0.11
        with pytest.raises(PathNotFoundError):
            await look(driver, "/directory/file")

    run(test)


def test_file_that_was_changed_a_moment_ago_is_not_held(
    run: Callable[[Test], None], root: Path, clock: Clock, ways: list[str]
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")
        changed = (root / "file").stat().st_ctime
        for age, count in ((-10.0, 3), (1.0, 6), (1.2, 7)):
            clock.of_day = changed + age
            for _ in range(3):
                await driver.get_content("/file")
            assert ways.count("file") == count

    run(test)


def test_change_is_seen_at_once_where_times_are_whole_seconds(
    run: Callable[[Test], None], root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = 1_700_000_000
    status = _quick.status

    def rough(fd: int) -> _quick.Status:
        links, mode, size, _, _, major, minor = status(fd)
        return links, mode, size, second, 0, major, minor

    async def test(driver: FilesystemDriver) -> None:
        monkeypatch.setattr(_quick, "status", rough)
        clock.of_day = second + 0.9
        (root / "file").write_bytes(b"old")
        assert await driver.get_content("/file") == b"old"
        write(root / "file")
        assert await driver.get_content("/file") == b"new"

    run(test)


def open_files(root: Path) -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return [one for one in found if one.startswith(f"{root}/")]


def test_few_files_and_small_ones_are_open_and_none_of_a_closed_driver(
    run: Callable[[Test], None], root: Path, at_once: None
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "small").write_bytes(b"x" * 4096)
        (root / "large").write_bytes(b"x" * 4097)
        for look in (driver.local_path, driver.get_content):
            for name in ("small", "large"):
                await look(f"/{name}")
        assert open_files(root) == [str(root / "small")]
        for number in range(100):
            (root / f"file-{number}").write_bytes(b"x")
            await driver.local_path(f"/file-{number}")
        assert len(open_files(root)) == 64
        assert str(root / "file-99") in open_files(root)

    run(test)
    assert open_files(root) == []


@pytest.mark.parametrize("look", LOOKS)
def test_file_that_cannot_be_asked_any_more_is_looked_at_anew(
    run: Callable[[Test], None],
    root: Path,
    at_once: None,
    look: Callable[..., Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")
        expected = await look(driver, "/file")

        def fail(fd: int) -> _quick.Status:
            raise OSError(errno.EIO, "as of XFS that was shut down")

        monkeypatch.setattr(_quick, "status", fail)
        assert await look(driver, "/file") == expected

    run(test)
    assert open_files(root) == []


def test_file_without_a_name_is_freed_in_a_thread(
    run: Callable[[Test], None], root: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[int] = []
    close = _quick.close

    def note(fd: int) -> None:
        links.append(os.fstat(fd).st_nlink)
        close(fd)

    async def test(driver: FilesystemDriver) -> None:
        for name in ("looked-at", "pushed-out", "at-the-end"):
            (root / name).write_bytes(b"x")
        monkeypatch.setattr(_quick, "close", note)
        await driver.local_path("/looked-at")
        (root / "looked-at").unlink()
        with pytest.raises(PathNotFoundError):
            await driver.local_path("/looked-at")
        monkeypatch.setattr(_held, "_MOST_FILES", 1)
        await driver.local_path("/pushed-out")
        (root / "pushed-out").unlink()
        await driver.local_path("/at-the-end")
        (root / "at-the-end").unlink()

    run(test)
    assert 0 not in links
    assert open_files(root) == []


def test_looks_from_several_threads_leave_one_file_open(
    run: Callable[[Test], None], root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")
        now = (root / "file").stat().st_ctime + 10

        def look_elsewhere() -> float:
            """Let another thread look in the middle of this one's look, once."""
            monkeypatch.setattr(clock, "time", lambda: now)
            other = threading.Thread(target=asyncio.run, args=[driver.get_content("/file")])
            other.start()
            other.join()
            return now

        monkeypatch.setattr(clock, "time", look_elsewhere)
        assert await driver.get_content("/file") == b"x"
        assert open_files(root) == [str(root / "file")]

    run(test)
    assert open_files(root) == []


def test_nobody_closes_what_another_thread_asks(
    run: Callable[[Test], None], root: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = _quick.status
    others: list[threading.Thread] = []

    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")
        await driver.get_content("/file")

        def close_elsewhere(fd: int) -> _quick.Status:
            monkeypatch.setattr(_quick, "status", status)
            others.append(threading.Thread(target=driver._cached.close))
            others[0].start()
            others[0].join(0.2)  # it waits for this look
            return status(fd)

        monkeypatch.setattr(_quick, "status", close_elsewhere)
        ways_before = open_files(root)
        assert await driver.get_content("/file") == b"x"
        assert ways_before == [str(root / "file")]
        others[0].join()
        assert open_files(root) == []

    run(test)


def test_file_that_was_opened_before_the_driver_was_closed_is_not_held(
    run: Callable[[Test], None], root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")

        def close_meanwhile() -> float:
            driver._cached.close()
            return (root / "file").stat().st_ctime + 10

        monkeypatch.setattr(clock, "time", close_meanwhile)
        assert await driver.get_content("/file") == b"x"
        assert open_files(root) == []

    run(test)
