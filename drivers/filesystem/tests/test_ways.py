"""Directories that somebody else has made last before anything in them is acknowledged."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from storagedriver_filesystem import _syncing, _tree
from storagedriver_filesystem._beneath import open_beneath
from storagedriver_filesystem._driver import FilesystemDriver
from storagedriver_filesystem._identity import by_fstat, identify

from storagedriver_core import CompleteOptions, PutOptions, UnavailableError, UploadOptions

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import CallLog, Opener

Write = Callable[[FilesystemDriver, str], Awaitable[object]]


async def put(driver: FilesystemDriver, path: str) -> None:
    await driver.put_content(path, b"", PutOptions())


async def commit(driver: FilesystemDriver, path: str) -> None:
    upload = await driver.open_upload(path, "one", UploadOptions())
    await driver.complete_upload(upload, (), CompleteOptions(path=path, size=0))


async def copy(driver: FilesystemDriver, path: str) -> None:
    await driver.copy("/source", path)


async def move(driver: FilesystemDriver, path: str) -> None:
    await put(driver, f"/moved{path.replace('/', '-')}")
    await driver.move(f"/moved{path.replace('/', '-')}", path)


_CLOCK_OF_FILES = 5  # CLOCK_REALTIME_COARSE, for which Python has no name

WRITES = pytest.mark.parametrize("write", [put, commit, copy, move])


def synced(log: CallLog) -> list[str]:
    """Give which directories were synced below the root, and how often: those above `/a/b/c`."""
    above = ("/a/b/c", "/a/b", "/a")
    return sorted(place for call, place, *_ in log.calls if call == "fsync" and place in above)


def by_another_process(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def wait_for_the_clock() -> None:
    """Return when the kernel gives other times to what is made than just before."""
    before = time.clock_gettime_ns(_CLOCK_OF_FILES)
    while time.clock_gettime_ns(_CLOCK_OF_FILES) == before:
        pass


@WRITES
def test_directories_of_another_process_are_synced_once(
    write: Write, root: Path, opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> None:
        async with opened() as driver:
            await put(driver, "/source")
            # Whoever has made them may not have come to their sync.
            by_another_process("mkdir", "-p", root / "a" / "b" / "c")
            log = start_log()
            await write(driver, "/a/b/c/first")
            assert synced(log) == ["/a", "/a/b", "/a/b/c"]
            assert log.calls.count(("fsync", "/")) >= 1
            for number in range(3):
                log.calls.clear()
                await write(driver, f"/a/b/c/{number}")
                assert synced(log) == ["/a/b/c"]
            # And only as far as it is new.
            log.calls.clear()
            by_another_process("mkdir", root / "a" / "b" / "d")
            await write(driver, "/a/b/d/first")
            assert synced(log) == ["/a/b"]

    asyncio.run(run())


@WRITES
def test_directories_that_were_made_again_are_synced_again(
    write: Write, root: Path, opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> None:
        async with opened() as driver:
            await put(driver, "/source")
            await write(driver, "/a/b/c/first")
            log = start_log()
            wait_for_the_clock()
            by_another_process("rm", "-r", root / "a" / "b")
            by_another_process("mkdir", "-p", root / "a" / "b" / "c")
            await write(driver, "/a/b/c/second")
            assert synced(log) == ["/a", "/a/b", "/a/b/c"]

    asyncio.run(run())


def test_write_that_failed_has_settled_nothing(
    root: Path, opened: Opener, start_log: Callable[[], CallLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fail(fd: int) -> None:
        if os.path.samefile(f"/proc/self/fd/{fd}", root / "a"):
            raise OSError(5, "broken")
        fsync(fd)

    async def run() -> None:
        async with opened() as driver:
            by_another_process("mkdir", "-p", root / "a" / "b" / "c")
            for write in (put, commit):
                with monkeypatch.context() as patch, pytest.raises(UnavailableError):
                    # So many directories the kernel would sync at once: then none fails.
                    patch.setattr(_syncing, "LEAST", 100)
                    patch.setattr(os, "fsync", fail)
                    await write(driver, "/a/b/c/first")
            log = start_log()
            await put(driver, "/a/b/c/second")
            assert synced(log) == ["/a", "/a/b", "/a/b/c"]

    asyncio.run(run())


def test_only_so_many_directories_are_remembered(
    opened: Opener, start_log: Callable[[], CallLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tree, "_MOST_SETTLED", 4)

    async def run() -> None:
        async with opened() as driver:
            await put(driver, "/a/b/c/first")
            for number in range(20):
                await put(driver, f"/other/{number}/x")
            log = start_log()
            await put(driver, "/a/b/c/second")
            assert synced(log) == ["/a", "/a/b", "/a/b/c"]
            assert len(driver._tree._settled) == 4

    asyncio.run(run())


def test_upload_is_found_again_in_a_staging_directory_of_another_process(
    root: Path, opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> None:
        async with opened() as driver:
            by_another_process("mkdir", "-p", root / ".storagedriver" / "uploads")
            log = start_log()
            for syncs in (1, 0):
                upload = await driver.open_upload("/a", "one", UploadOptions())
                log.calls.clear()
                await driver.sync_upload(upload)
                assert log.calls.count(("fsync", "/.storagedriver/uploads")) == 1
                for place in ("/.storagedriver", "/"):
                    assert log.calls.count(("fsync", place)) == syncs

    asyncio.run(run())


def test_directory_above_that_may_not_be_read_is_nobodys_to_sync(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_or_refuse(directory: int, path: str, flags: int, mode: int = 0) -> int:
        # As for who may pass through it alone; root may read everything.
        if path == "a" and not flags & os.O_PATH:
            raise PermissionError(13, "not to be read")
        return open_beneath(directory, path, flags, mode)

    async def run() -> None:
        async with opened() as driver:
            by_another_process("mkdir", "-p", root / "a" / "b")
            monkeypatch.setattr(_tree, "open_beneath", open_or_refuse)
            await put(driver, "/a/b/c")
            assert await driver.get_content("/a/b/c") == b""

    asyncio.run(run())


def test_each_directory_is_told_from_those_before_it(tmp_path: Path) -> None:
    seen = set()
    for _ in range(20):
        place = tmp_path / "directory"
        place.mkdir()
        fd = os.open(place, os.O_PATH)
        seen.add(identify(fd))
        # What is in it does not matter.
        (place / "file").write_bytes(b"")
        assert identify(fd) in seen
        # Without times of birth the number is all that there is.
        number, device = by_fstat(fd)[:8], by_fstat(fd)[-8:]
        assert (number, device) == (identify(fd)[:8], identify(fd)[-8:])
        os.close(fd)
        shutil.rmtree(place)
        wait_for_the_clock()
    assert len(seen) == 20
