"""Who may write to an upload, when several writers, processes and purges meet."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._driver import FilesystemDriver

from storagedriver_core import (
    CompleteOptions,
    ConflictError,
    PutOptions,
    Storage,
    Upload,
    UploadInfo,
    UploadNotFoundError,
    UploadOptions,
)

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import Opener

WHOLE = CompleteOptions(path="/a", size=4)


def held_by(upload: Upload, holder: str) -> Upload:
    return dataclasses.replace(upload, holder=holder)


async def begin(driver: FilesystemDriver, data: bytes = b"data") -> Upload:
    upload = await driver.open_upload("/a", "one", UploadOptions())
    await driver.put_part(upload, 1, 0, [data])
    await driver.sync_upload(upload)
    return upload


async def listed(driver: FilesystemDriver) -> list[UploadInfo]:
    return [info async for page in driver.list_uploads() for info in page]


def test_new_holder_in_one_driver_takes_over_and_the_old_one_is_refused(
    root: Path, opened: Opener
) -> None:
    async def run() -> None:
        async with opened() as driver:
            old = await begin(driver)
            new = held_by(old, "two")
            assert (await driver.upload_state(new, 2)).size == 2
            for refused in (
                driver.put_part(old, 2, 2, [b"old"]),
                driver.sync_upload(old),
                driver.complete_upload(old, (), WHOLE),
            ):
                with pytest.raises(ConflictError):
                    await refused
            driver.release_upload(old)  # is not its any more
            await driver.put_part(new, 2, 2, [b"ne"])
            await driver.complete_upload(new, (), WHOLE)
            driver.release_upload(new)
            # What the new one has published is not the old one's.
            with pytest.raises(ConflictError):
                await driver.complete_upload(old, (), WHOLE)

    asyncio.run(run())
    assert (root / "a").read_bytes() == b"dane"


def test_second_driver_is_refused_until_the_first_lets_go(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as first, opened() as second:
            upload = await begin(first)
            new = held_by(upload, "two")
            with pytest.raises(ConflictError):
                await second.upload_state(new, 4)
            with pytest.raises(ConflictError):
                await second.abort_upload(upload)
            with pytest.raises(ConflictError):  # it never resumed
                await second.put_part(new, 2, 4, [b"x"])
            first.release_upload(upload)
            assert (await second.upload_state(new, 4)).size == 4
            with pytest.raises(ConflictError):
                await first.put_part(upload, 2, 4, [b"x"])
            await second.abort_upload(new)

    asyncio.run(run())


def test_kernel_frees_the_upload_of_a_killed_process(root: Path, opened: Opener) -> None:
    script = (
        "import asyncio, sys, time\n"
        "from storagedriver_core import UploadOptions\n"
        "from storagedriver_filesystem._config import FilesystemConfig\n"
        "from storagedriver_filesystem._driver import FilesystemDriver\n"
        "async def main():\n"
        "    driver = FilesystemDriver(FilesystemConfig(root_directory=sys.argv[1]))\n"
        "    await driver.open()\n"
        "    upload = await driver.open_upload('/a', 'one', UploadOptions())\n"
        "    await driver.put_part(upload, 1, 0, [b'data'])\n"
        "    print(upload.upload_id, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )

    async def run(upload: Upload) -> None:
        async with opened() as driver:
            assert [info.active for info in await listed(driver)] == [True]
            with pytest.raises(ConflictError):
                await driver.upload_state(upload, 4)
            child.send_signal(signal.SIGKILL)
            child.wait()
            assert [info.active for info in await listed(driver)] == [False]
            assert (await driver.upload_state(upload, 4)).size == 4
            await driver.abort_upload(upload)

    command = [sys.executable, "-c", script, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        asyncio.run(run(Upload("/a", child.stdout.readline().strip(), holder="two")))


def test_resume_that_waits_for_the_lock_never_touches_what_was_published(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiter has the file open when it is renamed, and then gets its lock."""
    waiting = threading.Event()
    original = os.open

    def tell(path: str, *args: int, dir_fd: int | None = None) -> int:
        fd = original(path, *args, dir_fd=dir_fd)
        if "+a" in path:
            waiting.set()
        return fd

    async def run() -> None:
        async with opened() as first, opened() as second:
            upload = await begin(first)
            monkeypatch.setattr(os, "open", tell)
            resumed = asyncio.create_task(second.upload_state(held_by(upload, "two"), 0))
            await asyncio.to_thread(waiting.wait, 60)
            await first.complete_upload(upload, (), WHOLE)
            state = await resumed
            assert state.completed is not None
            assert state.completed.size == 4

    asyncio.run(run())
    assert (root / "a").read_bytes() == b"data"


def test_purge_that_listed_an_upload_before_it_was_resumed_leaves_it(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            upload = await begin(driver)
            driver.release_upload(upload)
            (info,) = await listed(driver)
            assert not info.active
            new = held_by(upload, "two")
            await driver.upload_state(new, 4)
            with pytest.raises(ConflictError):
                await driver.abort_upload(info.upload)
            await driver.complete_upload(new, (), WHOLE)

    asyncio.run(run())


def test_commit_and_purge_at_once_leave_one_winner(root: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as first, opened() as second:
            for _ in range(20):
                upload = await begin(first)
                committed, purged = await asyncio.gather(
                    first.complete_upload(upload, (), WHOLE),
                    second.abort_upload(held_by(upload, "")),
                    return_exceptions=True,
                )
                # The writer holds the lock, so the purge has to lose, whoever comes first.
                assert not isinstance(committed, BaseException)
                assert isinstance(purged, ConflictError | UploadNotFoundError)
                assert (root / "a").read_bytes() == b"data"

    asyncio.run(run())


def test_abort_and_resume_at_once_leave_one_winner(root: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as first, opened() as second:
            for _ in range(5):
                upload = await begin(first)
                first.release_upload(upload)
                new = held_by(upload, "two")
                state, purged = await asyncio.gather(
                    first.upload_state(new, 4),
                    second.abort_upload(held_by(upload, "")),
                    return_exceptions=True,
                )
                if purged is None:
                    assert isinstance(state, UploadNotFoundError | ConflictError)
                    with pytest.raises(UploadNotFoundError):
                        await first.complete_upload(new, (), WHOLE)
                else:
                    assert isinstance(purged, ConflictError)
                    await first.complete_upload(new, (), WHOLE)

    asyncio.run(run())
    assert list((root / ".storagedriver/uploads").iterdir()) == []


def test_part_under_way_ends_before_its_upload_changes_hands(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late write of the old holder would else land in what the new one has written."""
    begun, go_on = threading.Event(), threading.Event()
    original = os.pwritev

    def slow(fd: int, buffers: list[memoryview], offset: int) -> int:
        if bytes(buffers[0]) == b"late":
            begun.set()
            go_on.wait(60)
        return original(fd, buffers, offset)

    async def run() -> None:
        async with opened() as driver:
            old = await begin(driver)
            monkeypatch.setattr(os, "pwritev", slow)
            late = asyncio.create_task(driver.put_part(old, 2, 4, [b"late"]))
            await asyncio.to_thread(begun.wait, 60)
            new = held_by(old, "two")
            takeover = asyncio.create_task(driver.upload_state(new, 4))
            done, _ = await asyncio.wait({takeover}, timeout=0.05)
            assert not done
            go_on.set()
            await late
            assert (await takeover).size == 4
            await driver.put_part(new, 2, 4, [b"new!"])
            await driver.complete_upload(new, (), CompleteOptions(path="/a", size=8))

    asyncio.run(run())
    assert (root / "a").read_bytes() == b"datanew!"


def test_older_token_than_the_last_resumed_one_is_a_conflict(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            upload = await begin(driver)
            await driver.upload_state(held_by(upload, "two"), 2)
            with pytest.raises(ConflictError, match="resumed from an older token"):
                await driver.upload_state(held_by(upload, "three"), 4)
            # The one that failed holds nothing.
            assert (await driver.upload_state(held_by(upload, "four"), 2)).size == 2

    asyncio.run(run())


def test_name_from_a_forged_token_leads_nowhere(root: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            await begin(driver)
            await driver.put_content("/victim", b"data", PutOptions())
            for name in ("../../victim", "..", "", "a" * 32 + "/../../victim"):
                forged = Upload("/a", name, holder="one")
                for refused in (
                    driver.upload_state(forged, 0),
                    driver.put_part(forged, 1, 0, [b"x"]),
                    driver.complete_upload(forged, (), WHOLE),
                    driver.abort_upload(forged),
                ):
                    with pytest.raises(UploadNotFoundError):
                        await refused

    asyncio.run(run())
    assert (root / "victim").read_bytes() == b"data"


def test_what_a_dead_put_left_is_listed_and_purged(root: Path) -> None:
    left = root / ".storagedriver/uploads" / ("0" * 32)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")

    async def run() -> None:
        async with Storage(FilesystemDriver(FilesystemConfig(root_directory=root))) as storage:
            (info,) = [info async for info in storage.list_uploads()]
            assert (info.size, info.active) == (4, False)
            assert await storage.purge_uploads(older_than=timedelta(hours=1)) == []
            assert await storage.purge_uploads(older_than=timedelta(seconds=-1)) == [info]

    asyncio.run(run())
    assert not left.exists()


def test_listing_gives_the_path_that_the_name_holds(opened: Opener) -> None:
    paths = ["/a", "/a b/+/%2F", "/é/\n", "/" + "x" * 150]
    too_long = "/" + "x" * 230

    async def run() -> None:
        async with opened() as driver:
            for path in [*paths, too_long]:
                await driver.open_upload(path, "one", UploadOptions())
            found = {info.upload.path for info in await listed(driver)}
            (other,) = found - set(paths)
            assert found == {*paths, other}
            assert other.startswith("/.storagedriver/uploads/")

    asyncio.run(run())
