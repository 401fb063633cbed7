"""Content type and metadata in extended attributes, and filesystems that have none."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from storagedriver_filesystem._threads import Stop

from storagedriver_core import (
    CompleteOptions,
    LimitExceededError,
    NoSpaceError,
    PutOptions,
    ReadOptions,
    UnsupportedMethodError,
    UploadNotFoundError,
    UploadOptions,
)

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import Opener

TYPED = PutOptions(content_type="text/plain", metadata={"key": "value"})


@pytest.fixture
def no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take extended attributes away, as an old tmpfs or NFS does."""
    for name in ("setxattr", "getxattr", "listxattr"):
        monkeypatch.setattr(os, name, _failing(errno.EOPNOTSUPP))


def test_attributes_are_shown_by_stat_reader_and_copy(opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            stored = await driver.put_content("/a", b"data", TYPED)
            assert await driver.stat("/a") == stored
            async with await driver.open_reader("/a", ReadOptions()) as stream:
                assert stream.info == stored
            await driver.copy("/a", "/b")
            copied = await driver.stat("/b")
            assert (copied.content_type, copied.metadata) == ("text/plain", {"key": "value"})

    asyncio.run(run())


def test_file_without_attributes_costs_one_call_at_most(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def count(name: str) -> None:
        original = getattr(os, name)

        def counted(*args: Any, **keys: Any) -> Any:
            calls.append(name)
            return original(*args, **keys)

        monkeypatch.setattr(os, name, counted)

    async def run() -> None:
        async with opened() as driver:
            for name in ("setxattr", "getxattr", "listxattr"):
                count(name)
            await driver.put_content("/a", b"data", PutOptions())
            assert calls == []
            await driver.stat("/a")
            assert calls == ["listxattr"]

    asyncio.run(run())


@pytest.mark.usefixtures("no_attributes")
def test_without_attributes_only_metadata_is_refused(root: Path, opened: Opener) -> None:
    async def run() -> None:
        async with opened() as driver:
            for refused in (
                driver.put_content("/a", b"", TYPED),
                driver.open_upload("/a", "one", UploadOptions(content_type="text/plain")),
            ):
                with pytest.raises(UnsupportedMethodError) as raised:
                    await refused
                assert raised.value.capability == "put_with_metadata"
            stored = await driver.put_content("/b", b"data", PutOptions())
            assert await driver.stat("/b") == stored
            await driver.copy("/b", "/c")

    asyncio.run(run())
    assert list((root / ".storagedriver/uploads").iterdir()) == []


@pytest.mark.usefixtures("no_attributes")
def test_without_attributes_a_repeated_commit_is_known_by_its_open_file_only(
    opened: Opener,
) -> None:
    options = CompleteOptions(path="/a", size=4)

    async def run() -> None:
        async with opened() as driver:
            upload = await driver.open_upload("/a", "one", UploadOptions())
            await driver.put_part(upload, 1, 0, [b"data"])
            # As for a caller who was cancelled in the moment of the rename.
            info = driver._uploads.complete(upload, options, Stop())
            assert await driver.complete_upload(upload, (), options) == info
            driver.release_upload(upload)
            with pytest.raises(UploadNotFoundError) as raised:
                await driver.complete_upload(upload, (), options)
            assert raised.value.outcome == "unknown"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "free", "expected"),
    [
        (errno.E2BIG, True, LimitExceededError),
        (errno.ERANGE, True, LimitExceededError),
        (errno.ENOSPC, True, LimitExceededError),
        (errno.ENOSPC, False, NoSpaceError),
        (errno.EDQUOT, True, NoSpaceError),
    ],
)
def test_attributes_that_do_not_fit_are_told_from_a_full_disk(
    code: int,
    free: bool,
    expected: type[Exception],
    root: Path,
    opened: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = os.statvfs_result((4096, 4096, 9, 9 * free, 9 * free, 9, 9, 9, 0, 255))

    async def run() -> None:
        async with opened() as driver:
            monkeypatch.setattr(os, "setxattr", _failing(code))
            monkeypatch.setattr(os, "statvfs", lambda _: blocks)
            with pytest.raises(expected):
                await driver.put_content("/a", b"", TYPED)

    asyncio.run(run())
    assert list((root / ".storagedriver/uploads").iterdir()) == []


def _failing(code: int) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail
