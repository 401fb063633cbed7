"""What goes on, and what is undone, although the caller is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from storagedriver_core import UnavailableError, finish, undo_if_cancelled


class Work:
    """A call that begins something and waits for an answer.

    Attributes:
        begun: It has begun.
        answer: It may end.
        log: What has happened.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.answer = asyncio.Event()
        self.log: list[str] = []

    async def do(self, error: Exception | None = None) -> str:
        self.begun.set()
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.log.append("stopped")
            raise
        self.log.append("done")
        if error is not None:
            raise error
        return "it"

    async def undo(self, begun: str) -> None:
        await asyncio.sleep(0)
        self.log.append(f"{begun} undone")


async def cancelled_twice(work: Work, call: Coroutine[Any, Any, str]) -> asyncio.Task[str]:
    """Cancel a caller twice before the answer comes, and wait for its end."""
    caller = asyncio.create_task(call)
    await work.begun.wait()
    for _ in range(2):
        caller.cancel()
        await _turns()
        assert not caller.done()
    work.answer.set()
    await asyncio.wait({caller}, timeout=5)
    return caller


Call = Callable[[Work, Coroutine[Any, Any, str]], Awaitable[str]]

CALLS: dict[str, Call] = {
    "finish": lambda work, begun: finish(begun),
    "undo_if_cancelled": lambda work, begun: undo_if_cancelled(begun, work.undo),
}


@pytest.mark.parametrize("name", CALLS)
def test_caller_who_is_not_cancelled_gets_what_came_of_it(name: str) -> None:
    async def body() -> None:
        work = Work()
        work.answer.set()
        assert await CALLS[name](work, work.do()) == "it"
        with pytest.raises(UnavailableError):
            await CALLS[name](work, work.do(UnavailableError("no")))
        assert work.log == ["done", "done"]

    asyncio.run(body())


def test_work_is_finished_before_the_cancellation_is_raised() -> None:
    async def body() -> None:
        work = Work()
        caller = await cancelled_twice(work, finish(work.do()))
        assert caller.cancelled() and work.log == ["done"]

    asyncio.run(body())


def test_what_a_cancelled_caller_began_is_undone_before_the_cancellation_is_raised() -> None:
    async def body() -> None:
        work = Work()
        caller = await cancelled_twice(work, undo_if_cancelled(work.do(), work.undo))
        assert caller.cancelled() and work.log == ["done", "it undone"]

    asyncio.run(body())


@pytest.mark.parametrize("name", CALLS)
def test_error_of_the_work_takes_no_cancellation_away(name: str) -> None:
    async def body() -> None:
        work = Work()
        call = CALLS[name](work, work.do(UnavailableError("no")))
        caller = await cancelled_twice(work, _awaited(call))
        assert caller.cancelled() and work.log == ["done"]

    asyncio.run(body())


def test_undoing_that_fails_is_told_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def undo(begun: str) -> None:
        raise UnavailableError("no answer")

    async def body() -> None:
        work = Work()
        caller = await cancelled_twice(work, undo_if_cancelled(work.do(), undo))
        assert caller.cancelled()

    with caplog.at_level(logging.WARNING, "storagedriver_core"):
        asyncio.run(body())
    assert "no answer" in caplog.text


@pytest.mark.parametrize("name", CALLS)
def test_work_that_does_not_end_is_stopped_after_a_time(name: str) -> None:
    async def body() -> None:
        work = Work()
        call = (
            finish(work.do(), 0.02)
            if name == "finish"
            else undo_if_cancelled(work.do(), work.undo, 0.02)
        )
        caller = asyncio.create_task(call)
        await work.begun.wait()
        caller.cancel()
        await asyncio.wait({caller}, timeout=5)
        await _turns()
        assert caller.cancelled() and work.log == ["stopped"]

    asyncio.run(body())


async def _turns() -> None:
    """Let the loop do what is due."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _awaited(call: Awaitable[str]) -> str:
    return await call
