"""The order in which files and directories are synced, and what a full disk leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from storagedriver_filesystem._writeback import begin_writeback

from storagedriver_core import (
    CompleteOptions,
    NoSpaceError,
    PutOptions,
    StorageDriverError,
    UnavailableError,
    UploadOptions,
)

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import CallLog, Opener


def test_put_syncs_file_then_renames_then_syncs_every_changed_directory(
    opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            await driver.put_content("/warm", b"", PutOptions())
            log = start_log()
            await driver.put_content("/a/b/c", b"data", PutOptions())
            return log

    log = asyncio.run(run())
    written, synced = log.index("pwritev", "staged"), log.index("fsync", "staged")
    renamed = log.index("rename", "staged", "/a/b/c")
    assert written < synced < renamed
    # /a/b holds the new name; /a and / hold the directories that were made.
    for directory in ("/a/b", "/a", "/"):
        assert log.index("fsync", directory) > renamed
    assert log.index("mkdir", "/a") < log.index("mkdir", "/a/b") < renamed


def test_attributes_are_part_of_what_is_synced(
    opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            log = start_log()
            await driver.put_content("/a", b"", PutOptions(content_type="text/plain"))
            return log

    log = asyncio.run(run())
    assert log.index("setxattr", "staged") < log.index("fsync", "staged")


def test_commit_syncs_in_the_same_order(opened: Opener, start_log: Callable[[], CallLog]) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            upload = await driver.open_upload("/a/b", "one", UploadOptions())
            await driver.put_part(upload, 1, 0, [b"1234", b"5678"])
            log = start_log()
            await driver.complete_upload(upload, (), CompleteOptions(path="/a/b", size=6))
            return log

    log = asyncio.run(run())
    renamed = log.index("rename", "staged", "/a/b")
    assert log.index("ftruncate", "staged") < log.index("fsync", "staged") < renamed
    assert renamed < log.index("fsync", "/a") < log.index("fsync", "/")


def test_sync_upload_syncs_the_file_and_once_its_name(
    opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            upload = await driver.open_upload("/a", "one", UploadOptions())
            log = start_log()
            await driver.put_part(upload, 1, 0, [b"1"])
            await driver.sync_upload(upload)
            await driver.sync_upload(upload)
            return log

    log = asyncio.run(run())
    assert log.calls.count(("fsync", "staged")) == 2
    log.index("fsync", "/.storagedriver/uploads")


@pytest.mark.parametrize("first", ["put", "upload"])
def test_directories_that_another_call_has_made_and_not_yet_synced_are_synced(
    first: str, opened: Opener, start_log: Callable[[], CallLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, go_on = threading.Event(), threading.Event()
    rename = os.rename

    def stop_before(source: str, target: str, **keys: Any) -> None:
        if target == "slow":
            made.set()
            assert go_on.wait(60)
        rename(source, target, **keys)

    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/warm", b"", PutOptions())
            monkeypatch.setattr(os, "rename", stop_before)
            slow = asyncio.create_task(driver.put_content("/a/b/slow", b"", PutOptions()))
            assert await asyncio.to_thread(made.wait, 5)
            log = start_log()
            if first == "put":
                # Larger than what waits for the batch that is under way.
                await driver.put_content("/a/b/fast", bytes(100_000), PutOptions())
            else:
                upload = await driver.open_upload("/x", "one", UploadOptions())
                options = CompleteOptions(path="/a/b/fast", size=0)
                await driver.complete_upload(upload, (), options)
            for directory in ("/a/b", "/a", "/"):
                log.index("fsync", directory)
            # What is synced is forgotten.
            await driver.put_content("/a/b/third", bytes(100_000), PutOptions())
            assert log.calls.count(("fsync", "/a")) == log.calls.count(("fsync", "/")) == 1
            go_on.set()
            await slow

    asyncio.run(run())


def test_directory_that_cannot_be_made_leaves_none_of_those_above_it(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir

    def fail_on_second(name: str, *args: Any, **keys: Any) -> None:
        if name == "b":
            raise OSError(errno.ENOSPC, "full")
        mkdir(name, *args, **keys)

    async def run() -> None:
        async with opened() as driver:
            monkeypatch.setattr(os, "mkdir", fail_on_second)
            with pytest.raises(NoSpaceError):
                await driver.put_content("/a/b/c", b"", PutOptions())

    asyncio.run(run())
    assert not (root / "a").exists()


def test_move_syncs_both_directories_and_prunes_durably(
    opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            await driver.put_content("/old/deep/x", b"", PutOptions())
            await driver.put_content("/old/stays", b"", PutOptions())
            log = start_log()
            await driver.move("/old/deep/x", "/new/x")
            return log

    log = asyncio.run(run())
    renamed = log.index("rename", "/old/deep/x", "/new/x")
    for directory in ("/new", "/"):
        assert log.index("fsync", directory) > renamed
    # The directory that is gone needs no sync; the one that held it does.
    assert log.index("rmdir", "/old/deep") < log.index("fsync", "/old")


@pytest.mark.parametrize("path", ["/a/b/c", "/a/b"])
def test_delete_is_durable_before_it_returns(
    path: str, opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            await driver.put_content("/a/b/c", b"", PutOptions())
            await driver.put_content("/a/x", b"", PutOptions())
            log = start_log()
            await driver.delete(path)
            return log

    log = asyncio.run(run())
    assert log.index("unlink", "/a/b/c") < log.index("rmdir", "/a/b") < log.index("fsync", "/a")


def test_commit_found_done_is_made_durable_once_more(
    opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> CallLog:
        options = CompleteOptions(path="/a/b/c", size=0)
        async with opened() as driver:
            upload = await driver.open_upload("/a/b/c", "one", UploadOptions())
            first = await driver.complete_upload(upload, (), options)
        # Another process cannot know how far the first one came.
        async with opened() as driver:
            log = start_log()
            assert (await driver.upload_state(upload, 0)).completed == first
            return log

    log = asyncio.run(run())
    assert log.calls == [("fsync", "/a/b"), ("fsync", "/a"), ("fsync", "/")]


@pytest.mark.parametrize("call", ["pwritev", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_publishes_nothing_and_leaves_nothing(
    call: str, code: int, root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/a", b"old", PutOptions())
            monkeypatch.setattr(os, call, _failing(code))
            for path in ("/a", "/new/b"):
                with pytest.raises(NoSpaceError):
                    await driver.put_content(path, b"new", PutOptions())

    asyncio.run(run())
    assert _files(root) == ["a"]
    assert (root / "a").read_bytes() == b"old"


@pytest.mark.parametrize("call", ["copy_file_range", "fsync"])
def test_full_disk_leaves_nothing_of_a_copy(
    call: str, root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/a", b"old", PutOptions())
            monkeypatch.setattr(os, call, _failing(errno.ENOSPC))
            with pytest.raises(NoSpaceError):
                await driver.copy("/a", "/new/b")

    asyncio.run(run())
    assert _files(root) == ["a"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_sync_that_failed_is_not_repeated_over_what_may_be_lost(
    code: int, root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened() as driver:
            upload = await driver.open_upload("/a", "one", UploadOptions())
            await driver.put_part(upload, 1, 0, [b"safe"])
            await driver.sync_upload(upload)
            await driver.put_part(upload, 2, 4, [b"lost"])
            options = CompleteOptions(path="/a", size=8)
            with monkeypatch.context() as patch, pytest.raises((NoSpaceError, UnavailableError)):
                patch.setattr(os, "fsync", _failing(code))
                await driver.complete_upload(upload, (), options)
            # The next sync would succeed: the kernel tells of a failure once.
            for step in (driver.sync_upload(upload), driver.complete_upload(upload, (), options)):
                with pytest.raises(StorageDriverError, match="may be lost") as raised:
                    await step
                assert not raised.value.temporary
            assert not (root / "a").exists()
            # The upload stays, up to the sync before.
            again = dataclasses.replace(upload, holder="two")
            assert (await driver.upload_state(again, 4)).size == 4
            await driver.put_part(again, 2, 4, [b"sent"])
            await driver.complete_upload(again, (), options)

    asyncio.run(run())
    assert _files(root) == ["a"]
    assert (root / "a").read_bytes() == b"safesent"


def test_directory_that_cannot_be_synced_leaves_the_outcome_unknown(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.fsync

    def fail_on_root(fd: int) -> None:
        if os.path.samefile(f"/proc/self/fd/{fd}", root):
            raise OSError(errno.EIO, "broken")
        original(fd)

    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/warm", b"", PutOptions())
            monkeypatch.setattr(os, "fsync", fail_on_root)
            for step in (
                driver.put_content("/a", b"", PutOptions()),
                driver.move("/warm", "/b"),
                driver.delete("/b"),
            ):
                with pytest.raises(UnavailableError) as raised:
                    await step
                assert raised.value.outcome == "unknown"

    asyncio.run(run())


def test_staging_on_another_filesystem_than_the_target_is_said(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened() as driver:
            monkeypatch.setattr(os, "rename", _failing(errno.EXDEV))
            with pytest.raises(StorageDriverError, match="mounted below the root"):
                await driver.put_content("/mounted/a", b"", PutOptions())

    asyncio.run(run())
    assert _files(root) == []
    assert not (root / "mounted").exists()


def _failing(code: int) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_disk_begins_with_large_parts_before_the_sync_and_the_sync_still_comes(
    opened: Opener, start_log: Callable[[], CallLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            upload = await driver.open_upload("/a", "holder", UploadOptions())
            log = start_log()
            monkeypatch.setattr(
                "storagedriver_filesystem._uploads.begin_writeback",
                lambda fd, offset, size: log.calls.append(("writeback", str(offset), str(size))),
            )
            await driver.put_part(upload, 1, 0, [bytes(1 << 20)])
            await driver.put_part(upload, 2, 1 << 20, [bytes(100)])
            await driver.complete_upload(
                upload, (), CompleteOptions(path="/a", size=(1 << 20) + 100)
            )
            return log

    log = asyncio.run(run())
    begun = log.index("writeback", "0", str(1 << 20))
    assert begun < log.index("fsync", "staged") < log.index("rename", "staged", "/a")
    assert [call for call in log.calls if call[0] == "writeback"] == [log.calls[begun]]


def test_writeback_that_cannot_begin_is_no_error() -> None:
    begin_writeback(-1, 0, 1)
