"""Blocking calls whose callers are cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest
from storagedriver_filesystem import _threads
from storagedriver_filesystem._threads import Stop, Threads

from storagedriver_core import ClosedError, StorageDriverError


class Call:
    """A blocking call that the test lets end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.end = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        self.end.wait(60)
        return "result"


def test_cancelled_call_that_waits_for_a_thread_is_dropped() -> None:
    async def run() -> None:
        threads = Threads(1)
        threads.open()
        first, second = Call(), Call()
        running = asyncio.create_task(threads.run(first))
        await asyncio.to_thread(first.begun.wait, 60)
        waiting = asyncio.create_task(threads.run(second))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        first.end.set()
        assert await running == "result"
        await threads.aclose()
        assert not second.begun.is_set()

    asyncio.run(run())


def test_cancelled_call_under_way_is_told_and_its_result_disposed_of() -> None:
    async def run() -> None:
        threads = Threads(1)
        threads.open()
        call, stop = Call(), Stop()
        disposed: list[str] = []
        running = asyncio.create_task(threads.run(call, stop=stop, dispose=disposed.append))
        await asyncio.to_thread(call.begun.wait, 60)
        running.cancel()
        await asyncio.sleep(0)
        with pytest.raises(StorageDriverError):
            stop.check()
        assert not running.done()
        call.end.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert disposed == ["result"]
        await threads.aclose()

    asyncio.run(run())


def test_call_that_hangs_is_let_go_and_disposed_of_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_threads, "PATIENCE_SECONDS", 0.01)

    async def run() -> None:
        threads = Threads(1)
        threads.open()
        call = Call()
        disposed: list[str] = []
        running = asyncio.create_task(threads.run(call, dispose=disposed.append))
        await asyncio.to_thread(call.begun.wait, 60)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert disposed == []
        call.end.set()
        await threads.aclose()
        assert disposed == ["result"]

    asyncio.run(run())


def test_release_runs_though_its_caller_is_cancelled() -> None:
    async def run() -> None:
        threads = Threads(1)
        threads.open()
        busy, release = Call(), Call()
        release.end.set()
        running = asyncio.create_task(threads.run(busy))
        await asyncio.to_thread(busy.begun.wait, 60)
        releasing = asyncio.create_task(threads.finish(release))
        await asyncio.sleep(0)
        releasing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await releasing
        busy.end.set()
        await running
        await threads.aclose()
        assert release.begun.is_set()

    asyncio.run(run())


@pytest.mark.parametrize("max_threads", [1, 4])
def test_shared_work_is_done_once_also_when_no_thread_is_free(max_threads: int) -> None:
    async def run() -> None:
        threads = Threads(1)
        threads.open()
        done: list[int] = []

        def work() -> None:  # in the only thread that there is
            threads.share(done.append, range(10), max_threads=max_threads)

        await threads.run(work)
        assert sorted(done) == list(range(10))
        await threads.aclose()

    asyncio.run(run())


def test_closing_twice_is_fine_and_ends_the_threads() -> None:
    async def run() -> None:
        before = set(threading.enumerate())
        threads = Threads(4)
        threads.open()
        await threads.run(int)
        assert set(threading.enumerate()) - before
        await threads.aclose()
        await threads.aclose()
        assert not set(threading.enumerate()) - before
        with pytest.raises(ClosedError):
            await threads.run(int)

    asyncio.run(run())
