"""Files that stay open for a moment: never a different answer, and not for long."""

from __future__ import annotations

import asyncio
import os
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
    """Time that goes on when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()


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
        assert open_files(root) == []

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
    run: Callable[[Test], None], root: Path, ways: list[str]
) -> None:
    async def test(driver: FilesystemDriver) -> None:
        (root / "file").write_bytes(b"x")
        for _ in range(3):
            await driver.get_content("/file")
        assert ways.count("file") == 3
        age = 0.0
        while age < 0.11:
            await asyncio.sleep(0.02)
            age = time.time() - (root / "file").stat().st_ctime
        for _ in range(3):
            await driver.get_content("/file")
        assert ways.count("file") == 4

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
        for number in range(300):
            (root / f"file-{number}").write_bytes(b"x")
            await driver.local_path(f"/file-{number}")
        assert len(open_files(root)) == 256
        assert str(root / "file-299") in open_files(root)

    run(test)
    assert open_files(root) == []
