from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from storagedriver_core import (
    ChecksumMismatchError,
    PathNotFoundError,
    Storage,
    TransferReport,
    open_storage,
    transfer,
)

CHUNK = 64 * 1024
DATA = os.urandom(20 * CHUNK + 7)


class BrokenOffError(Exception):
    """Ends a transfer in the middle."""


def between(
    tmp_path: Path,
    work: Callable[[Storage, Storage], Awaitable[None]],
    **narrow: bool | list[str],
) -> None:
    """Run `work` with two stores: of files, whose reads come in chunks, and in memory.

    `narrow` are the capabilities to narrow of the second.
    """

    async def run() -> None:
        root = {"root_directory": str(tmp_path / "files")}
        files = open_storage({"storage": {"driver": "filesystem", "parameters": root}})
        memory = open_storage({"storage": {"driver": "inmemory", "capabilities": narrow}})
        async with files, memory:
            await work(files, memory)

    asyncio.run(run())


def break_off_at(offset: int) -> Callable[[int, int], None]:
    def on_progress(done: int, total: int) -> None:
        assert total == len(DATA)
        if done >= offset:
            raise BrokenOffError

    return on_progress


async def uploads(storage: Storage) -> int:
    return len([info async for info in storage.list_uploads()])


def test_content_type_and_metadata_go_along(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await memory.put_content("/a", DATA, content_type="text/x", metadata={"k": "v"})
        report = await transfer(memory, "/a", files, "/b/c")
        assert (report.copied, report.unchanged, report.metadata_kept) == (len(DATA), False, True)
        assert await files.get_content("/b/c") == DATA
        info = await files.stat("/b/c")
        assert (info.content_type, info.metadata) == ("text/x", {"k": "v"})

    between(tmp_path, work)


def test_store_without_metadata_gets_the_content_and_the_report_says_so(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/typed", DATA, content_type="text/x")
        await files.put_content("/plain", DATA)
        assert not (await transfer(files, "/typed", memory, "/a")).metadata_kept
        assert (await transfer(files, "/plain", memory, "/b")).metadata_kept
        assert await memory.get_content("/a") == DATA

    between(tmp_path, work, put_with_metadata=False)


def test_same_content_is_not_copied_again(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        first = await transfer(files, "/a", memory, "/a")
        again = await transfer(files, "/a", memory, "/a")
        assert again == TransferReport(first.info, 0, unchanged=True)
        await memory.put_content("/a", DATA[:-1] + bytes([DATA[-1] ^ 1]))
        assert (await transfer(files, "/a", memory, "/a")).copied == len(DATA)
        assert await memory.get_content("/a") == DATA

    between(tmp_path, work)


@pytest.mark.parametrize("path", ["/missing", "/directory"])
def test_what_is_no_file_is_not_copied(path: str, tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/directory/file", DATA)
        with pytest.raises(PathNotFoundError):
            await transfer(files, path, memory, "/a")
        assert [info async for info in memory.walk("/")] == []

    between(tmp_path, work)


def test_broken_off_transfer_without_a_state_leaves_nothing(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        with pytest.raises(BrokenOffError):
            await transfer(files, "/a", memory, "/a", on_progress=break_off_at(10 * CHUNK))
        assert await uploads(memory) == 0
        assert [info async for info in memory.walk("/")] == []

    between(tmp_path, work)


async def broken_off(source: Storage, target: Storage) -> str:
    """Break a transfer off behind a checkpoint, and give its last state."""
    states: list[str] = []
    with pytest.raises(BrokenOffError):
        await transfer(
            source,
            "/a",
            target,
            "/b",
            on_state=states.append,
            on_progress=break_off_at(len(DATA)),
            checkpoint_bytes=1,
        )
    assert [info async for info in target.walk("/")] == []
    return states[-1]


def test_transfer_goes_on_from_its_state(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        state = await broken_off(files, memory)
        done: list[int] = []
        report = await transfer(
            files, "/a", memory, "/b", state=state, on_progress=lambda at, _: done.append(at)
        )
        assert 0 < report.copied < len(DATA)
        assert done[0] > len(DATA) - report.copied
        assert await memory.get_content("/b") == DATA
        assert await uploads(memory) == 0

    between(tmp_path, work)


def test_state_of_another_version_of_the_source_is_dropped_with_its_upload(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        state = await broken_off(files, memory)
        changed = DATA[::-1]
        await files.put_content("/a", changed)
        assert (await transfer(files, "/a", memory, "/b", state=state)).copied == len(DATA)
        assert await memory.get_content("/b") == changed
        assert await uploads(memory) == 0

    between(tmp_path, work)


def test_state_of_a_committed_upload_is_of_no_use_to_another_version(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        states: list[str] = []
        # Dies after the commit, before its caller forgets the state.
        await transfer(files, "/a", memory, "/b", on_state=states.append, checkpoint_bytes=1)
        changed = DATA[::-1]
        await files.put_content("/a", changed)
        assert (await transfer(files, "/a", memory, "/b", state=states[-1])).copied == len(DATA)
        assert await memory.get_content("/b") == changed

    between(tmp_path, work)


def test_state_of_a_purged_upload_is_ignored(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        state = await broken_off(files, memory)
        assert len(await memory.purge_uploads(older_than=timedelta(0))) == 1
        assert (await transfer(files, "/a", memory, "/b", state=state)).copied == len(DATA)

    between(tmp_path, work)


@pytest.mark.parametrize("state", ["", "x", "[]", "[1, 2]", '["a", "b"]', "null"])
def test_state_that_is_of_no_use_is_ignored(state: str, tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        assert (await transfer(files, "/a", memory, "/b", state=state)).copied == len(DATA)

    between(tmp_path, work)


def test_store_that_keeps_other_bytes_is_found_out(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        async def checksum(path: str, algorithm: str) -> str:
            return "0" * 64

        await files.put_content("/a", DATA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "checksum", checksum)
            with pytest.raises(ChecksumMismatchError) as caught:
                await transfer(files, "/a", memory, "/b")
        assert (caught.value.outcome, caught.value.path) == ("applied", "/b")

    between(tmp_path, work)


def test_store_without_checksums_is_read_back(tmp_path: Path) -> None:
    async def work(files: Storage, memory: Storage) -> None:
        await files.put_content("/a", DATA)
        assert memory.capabilities.checksum_algorithms == ()
        await transfer(files, "/a", memory, "/b")
        assert (await transfer(files, "/a", memory, "/b")).unchanged

    between(tmp_path, work, checksum_algorithms=[])
