"""Move and copy that can break in the middle: M12, M16, M18, M19."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from storagedriver_core import PathNotFoundError, Storage, StorageDriver, UnavailableError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Disturbed, Recorder
from storagedriver_testsuite.cases.moving import assert_missing
from storagedriver_testsuite.proxy import Fault

# What a move in parts is made of, and a plain one is not, but for the delete.
PART_CALLS = ("copy_part", "complete_upload", "delete")


async def open_for_parts(kit: Kit, driver: StorageDriver | None = None) -> tuple[Storage, int]:
    """Open a storage that copies and moves what is over one part part by part.

    Returns:
        The storage, and the bytes of a part.
    """
    part = max(PART, kit.capabilities.min_part_size)
    narrow: dict[str, Any] = {"max_single_copy": part}
    if kit.capabilities.move == "atomic":
        narrow["move"] = "server_copy"
    return await kit.open_parts(driver, **narrow), part


async def stall_in_move(
    storage: Storage, say: Callable[[Any], None], source: str, target: str
) -> None:
    """In a child process: begin a move, and stop for ever once a part is copied."""

    def stall(done: int) -> None:
        say(done)
        signal.pause()

    await storage.move(source, target, progress=stall)


class CopyCases(CaseGroup):
    """Copies in parts, interrupted moves, lost replies."""

    @case("M12", needs=("copy", "copy_part"))
    async def test_copy_in_parts_is_whole_or_leaves_nothing(self, kit: Kit) -> None:
        at_once = most_at_once = started = 0
        stall_at = 0
        stalled = asyncio.Event()

        async def watch(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal at_once, most_at_once, started
            if operation != "copy_part":
                return await call()
            started += 1
            number = started
            at_once += 1
            most_at_once = max(most_at_once, at_once)
            try:
                await asyncio.sleep(0)
                if number == stall_at:
                    stalled.set()
                    await asyncio.Event().wait()
                return await call()
            finally:
                at_once -= 1

        disturbed = Disturbed(kit.harness.driver(), watch)
        storage, part = await open_for_parts(kit, kit.wrapped_driver(disturbed))
        data = kit.random_bytes(5 * part + 1234)
        await kit.seed("/a/x", data)
        progress: list[int] = []
        await storage.copy("/a/x", "/a/y", progress=progress.append)
        assert await kit.peek("/a/y") == await kit.peek("/a/x") == data
        assert started == len(progress) == 6
        assert progress == sorted(set(progress)) and progress[-1] == len(data)
        assert (most_at_once > 1) == kit.capabilities.upload_out_of_order

        await kit.seed("/a/y", b"old")
        for target in ["/a/y", "/a/new"]:
            stall_at = started + 3
            stalled.clear()
            task = asyncio.create_task(storage.copy("/a/x", target))
            await stalled.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert await kit.harness.raw_uploads() == []
        assert await kit.peek("/a/y") == b"old"
        assert await kit.peek("/a/x") == data
        await assert_missing(storage, "/a/new")

    @case("M16", needs=("copy_part",))
    async def test_move_over_the_limit_goes_in_parts_at_the_store(self, kit: Kit) -> None:
        _, part = await open_for_parts(kit)
        for size, copied_parts in [(part, 0), (part + 1, 2), (7 * part + 5, 8)]:
            recorder = Recorder(kit.harness.driver())
            storage, _ = await open_for_parts(kit, kit.wrapped_driver(recorder))
            data = kit.random_bytes(size)
            await kit.seed_many({"/a/x": data, "/a/y": b"old"})
            await storage.move("/a/x", "/a/y")
            assert recorder.calls.count("copy_part") == copied_parts
            assert ("move" in recorder.calls) == (copied_parts == 0)
            assert recorder.object_bytes == 0
            assert await kit.peek("/a/y") == data
            await assert_missing(kit.storage, "/a/x")

    @case("M18", needs=("shared_between_processes", "copy_part", "list_uploads"))
    async def test_move_killed_half_way_leaves_the_source(self, kit: Kit) -> None:
        storage, part = await open_for_parts(kit)
        data = kit.random_bytes(5 * part)
        await kit.seed("/a/x", data)
        async with kit.child(stall_in_move, "/a/x", "/a/y", storage=storage) as child:
            assert 0 < await child.said() < len(data)
            child.kill()
            assert await child.wait() == -signal.SIGKILL
        assert await kit.peek("/a/x") == data
        await assert_missing(storage, "/a/y")
        assert len(await kit.harness.raw_uploads()) == 1
        await storage.purge_uploads(older_than=timedelta(0))
        assert await kit.harness.raw_uploads() == []
        await storage.move("/a/x", "/a/y")
        assert await kit.peek("/a/y") == data

    @case("M19")
    async def test_repeated_move_ends_moved_whatever_reply_was_lost(self, kit: Kit) -> None:
        # Not `open_upload`: of an upload whose opening's reply was lost, only a purge can know.
        operations = ["stat", "move", "copy", "delete", "put_content"]
        for operation in [*operations, "copy_part", "complete_upload"]:
            for applied in [False, True]:
                driver = kit.wrapped_driver(_failing_once(kit, operation, applied=applied))
                await self._check_converges(kit, await kit.open(driver))
                if kit.capabilities.copy_part and (
                    operation in PART_CALLS or not kit.harness.is_remote
                ):
                    driver = kit.wrapped_driver(_failing_once(kit, operation, applied=applied))
                    storage, _ = await open_for_parts(kit, driver)
                    await self._check_converges(kit, storage)
        if kit.harness.offers("proxied_driver"):
            await self._check_lost_answers(kit)

    async def _check_lost_answers(self, kit: Kit) -> None:
        """Lose the answer to each request of a move in turn, and none at last."""
        proxy = await kit.proxy()
        storage = await kit.open(kit.harness.proxied_driver(proxy.url))
        for nth in itertools.count(1):
            lost = Fault(action="reset_after", nth=nth)
            async with proxy.faults(lost):
                await proxy.forget()
                await self._check_converges(kit, storage)
                if not any(entry.fault for entry in await proxy.log()):
                    assert nth > 1, "a move without a request"
                    return

    @staticmethod
    async def _check_converges(kit: Kit, storage: Storage) -> None:
        data = kit.random_bytes(3 * max(PART, kit.capabilities.min_part_size))
        await kit.seed_many({"/a/x": data, "/a/y": b"old"})
        while True:
            try:
                await storage.move("/a/x", "/a/y")
            except UnavailableError:
                continue
            except PathNotFoundError as error:
                assert error.path == "/a/x"
            break
        assert await kit.peek("/a/y") == data
        with pytest.raises(PathNotFoundError):
            await kit.storage.stat("/a/x")


def _failing_once(kit: Kit, operation: str, *, applied: bool) -> StorageDriver:
    """Give a driver whose first such call fails, or succeeds and loses its reply."""
    failed = False

    async def disturb(name: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal failed
        if name != operation or failed:
            return await call()
        failed = True
        if applied:
            await call()
        raise UnavailableError(outcome="unknown" if applied else "none")

    return Disturbed(kit.harness.driver(), disturb)
