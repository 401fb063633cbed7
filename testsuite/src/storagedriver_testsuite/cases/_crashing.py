"""Functions that are killed at a chosen moment, and drivers that stop at one."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from storagedriver_core import (
    Buffer,
    DriverMiddleware,
    Part,
    Storage,
    StorageDriver,
    Upload,
)
from storagedriver_testsuite._child import Child
from storagedriver_testsuite._kit import Kit

T = TypeVar("T")
Say = Callable[[Any], None]

SAY: ContextVar[Say] = ContextVar("SAY")
"""How the doomed function, and the driver below it, tell the case where they are."""


class StuckAfter(DriverMiddleware):
    """Makes one kind of call, says so, and never returns from it."""

    def __init__(self, driver: StorageDriver, operation: str) -> None:
        super().__init__(driver)
        self._operation = operation

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """Stop after the call that was chosen."""
        result = await call()
        if operation == self._operation:
            SAY.get()("stuck")
            await asyncio.Event().wait()
        return result


class StuckInPart(DriverMiddleware):
    """Stores the first half of any part that is not whole, says so, and never returns."""

    def __init__(self, driver: StorageDriver, size: int) -> None:
        super().__init__(driver)
        self._size = size

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Stop in a part of the size that was chosen."""
        whole = b"".join(data)
        if len(whole) != self._size:
            return await super().put_part(upload, number, offset, data)
        await super().put_part(upload, number, offset, [whole[: len(whole) // 2]])
        SAY.get()("stuck")
        await asyncio.Event().wait()
        raise AssertionError


class Doomed(Protocol):
    """A function that works on the store until it is killed."""

    async def said(self) -> Any:
        """Give the next value that the function said."""

    async def kill(self) -> None:
        """End it at once, without any clean-up of its own."""


@asynccontextmanager
async def doomed(
    kit: Kit,
    function: Callable[..., Awaitable[None]],
    *arguments: Any,
    storage: Storage,
) -> AsyncGenerator[Doomed, None]:
    """Run `function(storage, say, *arguments)`, with an unopened storage, until it is killed.

    Where the store is shared between processes it has a process of its own, which gets SIGKILL.
    Elsewhere it is a task, which is dropped at the place where it waits.
    """
    if kit.capabilities.shared_between_processes:
        async with kit.child(run_doomed, function, arguments, storage=storage) as child:
            yield _DoomedProcess(child)
        return
    async with storage:
        task = _DoomedTask(storage, function, arguments)
        try:
            yield task
        finally:
            await task.kill()


async def run_doomed(
    storage: Storage, say: Say, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]
) -> None:
    """Run the function where it will be killed."""
    SAY.set(say)
    await function(storage, say, *arguments)


class _DoomedProcess:
    def __init__(self, child: Child) -> None:
        self._child = child

    async def said(self) -> Any:
        return await self._child.said()

    async def kill(self) -> None:
        self._child.kill()
        await self._child.wait()


class _DoomedTask:
    def __init__(
        self, storage: Storage, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]
    ) -> None:
        self._words: asyncio.Queue[Any] = asyncio.Queue()
        self._others = asyncio.all_tasks()
        run = run_doomed(storage, self._words.put_nowait, function, arguments)
        self._tasks = {asyncio.create_task(run)}

    async def said(self) -> Any:
        word = asyncio.ensure_future(self._words.get())
        try:
            await asyncio.wait({*self._tasks, word}, return_when=asyncio.FIRST_COMPLETED)
            assert word.done(), f"ended without another word: {self._tasks}"
            return word.result()
        finally:
            word.cancel()

    async def kill(self) -> None:
        with warnings.catch_warnings():
            # Nobody closes what a killed process had open, and nobody is warned either.
            warnings.simplefilter("ignore", ResourceWarning)
            await self._end()
            gc.collect()

    async def _end(self) -> None:
        if not self._tasks:
            return  # was killed before
        ending = (asyncio.all_tasks() - self._others) | self._tasks
        self._tasks.clear()  # when they are over, their tracebacks hold what was open
        for task in ending:
            task.cancel()
        await asyncio.wait(ending)
