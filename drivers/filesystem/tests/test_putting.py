"""Puts that come at once: their batches, and what one does to the others."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from storagedriver_filesystem import _cached, _tree
from storagedriver_filesystem._beneath import open_beneath
from storagedriver_filesystem._gathering import PutQueue
from storagedriver_filesystem._putting import Put, put_all
from storagedriver_filesystem._staging import passing_name
from storagedriver_filesystem._threads import Threads

from storagedriver_core import (
    AlreadyExistsError,
    ClosedError,
    ConfigurationError,
    ConflictError,
    FileInfo,
    NoSpaceError,
    PutOptions,
)

if TYPE_CHECKING:
    from drivers.filesystem.tests.conftest import CallLog, Opener


def test_puts_at_once_share_one_sync_of_their_directory(
    opened: Opener, start_log: Callable[[], CallLog]
) -> None:
    async def run() -> CallLog:
        async with opened() as driver:
            await driver.put_content("/d/warm", b"", PutOptions())
            log = start_log()
            await asyncio.gather(
                *(driver.put_content(f"/d/{n}", b"data", PutOptions()) for n in range(8))
            )
            return log

    log = asyncio.run(run())
    last_rename = max(log.index("rename", "staged", f"/d/{n}") for n in range(8))
    # Every file was synced before any was renamed, and the directory once after all.
    assert log.calls.count(("fsync", "staged")) == 8
    assert [call for call in log.calls[last_rename:] if call[0] == "fsync"] == [("fsync", "/d")]


def test_directories_of_a_batch_are_synced_at_the_same_time_without_another_opening(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=60)
    sync, opened_again = os.fsync, []

    def sync_both(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            together.wait()
        sync(fd)

    def look(directory: int, path: str, *rest: int) -> int:
        opened_again.append(path)
        return open_beneath(directory, path, *rest)

    async def run() -> None:
        async with opened() as driver:
            for name in ("a", "b"):
                await driver.put_content(f"/{name}/warm", b"", PutOptions())
            monkeypatch.setattr(os, "fsync", sync_both)
            monkeypatch.setattr(_tree, "open_beneath", look)
            await asyncio.gather(
                *(driver.put_content(f"/{name}/x", b"1", PutOptions()) for name in ("a", "b"))
            )

    asyncio.run(run())
    assert not together.broken
    assert (opened_again.count("a"), opened_again.count("b")) == (1, 1)


def test_error_of_one_put_is_its_own(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.pwritev

    def write(fd: int, buffers: list[memoryview], offset: int) -> int:
        if bytes(buffers[0]) == b"too much":
            raise OSError(errno.ENOSPC, "full")
        return original(fd, buffers, offset)

    async def run() -> Sequence[FileInfo | BaseException]:
        async with opened() as driver:
            await driver.put_content("/there", b"", PutOptions())
            monkeypatch.setattr(os, "pwritev", write)
            return await asyncio.gather(
                driver.put_content("/first", b"1", PutOptions()),
                driver.put_content("/there", b"", PutOptions(if_absent=True)),
                driver.put_content("/there/below", b"", PutOptions()),
                driver.put_content("/full", b"too much", PutOptions()),
                driver.put_content("/last", b"2", PutOptions()),
                return_exceptions=True,
            )

    results = asyncio.run(run())
    types = [type(result) for result in results]
    assert types == [FileInfo, AlreadyExistsError, ConflictError, NoSpaceError, FileInfo]
    files = sorted(path.name for path in root.rglob("*") if path.is_file())
    assert files == ["first", "last", "there"]


def test_each_put_has_an_error_of_its_own_when_the_root_is_gone(root: Path, opened: Opener) -> None:
    async def run() -> list[FileInfo | BaseException]:
        async with opened() as driver:
            root.rename(root.with_name("away"))
            return await asyncio.gather(
                *(driver.put_content(f"/{n}", b"", PutOptions()) for n in range(3)),
                return_exceptions=True,
            )

    errors = asyncio.run(run())
    assert [type(error) for error in errors] == [ConfigurationError] * 3
    assert len({id(error) for error in errors}) == 3


class Recorded:
    """A queue whose batches take as long as the test says.

    Attributes:
        batches: The paths of each batch.
        begun: Whether there is one.
        fault: What writing raises.
    """

    def __init__(self, seconds: float = 0, gate: threading.Event | None = None) -> None:
        self.batches: list[list[str]] = []
        self.begun = threading.Event()
        self.fault: Exception | None = None
        self._seconds = seconds
        self._gate = gate
        self.threads = Threads(16)
        self.queue = PutQueue(self.threads, self._write)

    def put(self, path: str) -> asyncio.Task[FileInfo]:
        return asyncio.create_task(self.queue.run(Put(path, b"", PutOptions())))

    def _write(self, puts: Sequence[Put]) -> float:
        if self.fault is not None:
            raise self.fault
        self.batches.append([put.path for put in puts])
        self.begun.set()
        if self._gate is not None:
            self._gate.wait(60)
        for put in puts:
            put.info = FileInfo(put.path)
        return self._seconds * len(puts)


def test_what_comes_while_a_batch_is_under_way_is_the_next_batch() -> None:
    async def run() -> Recorded:
        gate = threading.Event()
        recorded = Recorded(gate=gate)
        recorded.threads.open()
        first = recorded.put("/1")
        await asyncio.to_thread(recorded.begun.wait, 60)
        others = [recorded.put(f"/{n}") for n in (2, 3, 4)]
        await asyncio.sleep(0)
        gate.set()
        infos = await asyncio.gather(first, *others)
        assert [info.path for info in infos] == ["/1", "/2", "/3", "/4"]
        await recorded.threads.aclose()
        return recorded

    assert asyncio.run(run()).batches == [["/1"], ["/2", "/3", "/4"]]


def test_fault_of_a_batch_is_raised_by_its_puts_and_the_next_go_on() -> None:
    async def run() -> list[FileInfo | BaseException]:
        recorded = Recorded()
        recorded.threads.open()
        recorded.fault = ZeroDivisionError()
        first = [recorded.put("/1"), recorded.put("/2")]
        async with asyncio.timeout(60):
            results = await asyncio.gather(*first, return_exceptions=True)
            recorded.fault = None
            results.append(await recorded.put("/3"))
        await recorded.threads.aclose()
        return results

    results = asyncio.run(run())
    assert [type(each) for each in results] == [ZeroDivisionError, ZeroDivisionError, FileInfo]


def test_puts_for_which_no_thread_can_be_had_are_refused_once_and_the_next_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def run() -> Recorded:
        recorded = Recorded()
        recorded.threads.open()
        with monkeypatch.context() as patch, pytest.raises(ClosedError):
            patch.setattr(threading.Thread, "start", start)
            await recorded.put("/refused")
        # The executor has kept the call, and makes it with the next.
        async with asyncio.timeout(60):
            for n in range(3):
                await recorded.put(f"/{n}")
        await recorded.threads.aclose()
        return recorded

    assert asyncio.run(run()).batches == [["/0"], ["/1"], ["/2"]]


def test_on_a_slow_store_each_put_has_a_thread_in_the_end() -> None:
    async def run() -> Recorded:
        recorded = Recorded(seconds=0.01)
        recorded.threads.open()
        for _ in range(40):
            await recorded.put("/warm")
        recorded.batches.clear()
        await asyncio.gather(*(recorded.put(f"/{n}") for n in range(8)))
        await recorded.threads.aclose()
        return recorded

    assert [len(batch) for batch in asyncio.run(run()).batches] == [1] * 8


def test_syncs_do_not_count_for_how_long_a_batch_takes(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def taking(seconds: float, name: str) -> None:
        call = getattr(os, name)

        def slow(*args: Any) -> Any:
            nonlocal now
            now += seconds
            return call(*args)

        monkeypatch.setattr(os, name, slow)

    async def run() -> float:
        async with opened() as driver:
            await driver.put_content("/warm", b"", PutOptions())
            taking(60.0, "fsync")
            taking(0.25, "pwritev")
            put = Put("/x", b"1", PutOptions())
            seconds = put_all(driver._tree, driver._staging, driver._threads, [put], lambda: now)
            assert put.result().size == 1
            return seconds

    assert asyncio.run(run()) == 0.25
    assert now == 120.25


@pytest.mark.parametrize("is_local", [True, False])
def test_waits_count_where_they_are_a_file_server_s(
    is_local: bool, root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = root.parent.stat().st_dev if is_local else None
    monkeypatch.setattr(_cached, "local_device", lambda path: device)
    original = os.pwritev

    def slow(*args: Any) -> Any:
        time.sleep(1)
        return original(*args)

    async def run() -> float:
        async with opened() as driver:
            await driver.put_content("/warm", b"", PutOptions())
            monkeypatch.setattr(os, "pwritev", slow)
            return await asyncio.to_thread(driver._write_puts, [Put("/x", b"1", PutOptions())])

    assert (asyncio.run(run()) < 1) is is_local


def test_cancelled_put_that_waits_is_never_begun() -> None:
    async def run() -> Recorded:
        gate = threading.Event()
        recorded = Recorded(gate=gate)
        recorded.threads.open()
        first = recorded.put("/first")
        await asyncio.to_thread(recorded.begun.wait, 60)
        waiting = recorded.put("/waiting")
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        gate.set()
        await first
        await recorded.threads.aclose()
        return recorded

    assert asyncio.run(run()).batches == [["/first"]]


def test_cancelled_put_under_way_is_over_before_its_caller_goes_on(
    root: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    original = os.fsync

    def slow(fd: int) -> None:
        begun.set()
        go_on.wait(60)
        original(fd)

    async def run() -> None:
        async with opened() as driver:
            await driver.put_content("/warm", b"", PutOptions())
            monkeypatch.setattr(os, "fsync", slow)
            data = bytearray(b"data")
            put = asyncio.create_task(driver.put_content("/a", data, PutOptions()))
            await asyncio.to_thread(begun.wait, 60)
            put.cancel()
            asyncio.get_running_loop().call_later(0.01, go_on.set)
            with pytest.raises(asyncio.CancelledError):
                await put
            assert list((root / ".storagedriver/uploads").iterdir()) == []
            assert not (root / "a").exists()

    asyncio.run(run())


def test_names_of_staging_files_differ_whatever_seed_the_program_sets() -> None:
    names = set()
    for _ in range(2):
        random.seed(2014)
        names.add(passing_name())
    random.seed()  # for the tests to come
    assert len(names) == 2


# Later Pythons warn of a fork beside threads, of which the child here uses none.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_names_of_staging_files_differ_from_those_of_a_forked_child() -> None:
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tells, passing_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(tells)
    with open(told) as answer:
        assert answer.read() not in ("", passing_name())


def test_put_after_the_close_is_refused() -> None:
    async def run() -> None:
        recorded = Recorded()
        with pytest.raises(ClosedError):
            await recorded.put("/a")

    asyncio.run(run())
