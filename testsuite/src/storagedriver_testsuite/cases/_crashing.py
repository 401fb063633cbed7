"""Functions that are killed at a chosen moment, and drivers that stop at one."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from storagedriver_core import (
    Buffer,
    DriverMiddleware,
    Part,
    Storage,
    StorageDriver,
    Upload,
)
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


@dataclass(frozen=True, slots=True)
class Doomed:
    """A function that works on the store until it is killed.

    Where the store is shared between processes it has a process of its own, which gets SIGKILL.
    Elsewhere it is a task, which is dropped at the place where it waits.

    Attributes:
        said: Gives the next value that the function said.
        kill: Ends it, at once and without any clean-up of its own.
    """

    said: Callable[[], Awaitable[Any]]
    kill: Callable[[], Awaitable[None]]


@asynccontextmanager
async def doomed(
    kit: Kit,
    function: Callable[..., Awaitable[None]],
    *arguments: Any,
    storage: Storage,
) -> AsyncGenerator[Doomed, None]:
    """Run `function(storage, say, *arguments)`, with an unopened storage, until it is killed."""
    if kit.capabilities.shared_between_processes:
        async with kit.child(run_doomed, function, arguments, storage=storage) as child:

            async def kill() -> None:
                child.kill()
                await child.wait()

            yield Doomed(child.said, kill)
        return
    words: asyncio.Queue[Any] = asyncio.Queue()
    async with storage:
        task = asyncio.create_task(run_doomed(storage, words.put_nowait, function, arguments))

        async def drop() -> None:
            task.cancel()
            with warnings.catch_warnings():
                # Nobody closes what a killed process had open, and nobody is warned either.
                warnings.simplefilter("ignore", ResourceWarning)
                await asyncio.wait({task})
                gc.collect()

        try:
            yield Doomed(lambda: _word_of(task, words), drop)
        finally:
            await drop()


async def run_doomed(
    storage: Storage, say: Say, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]
) -> None:
    """Run the function, in the process that will be killed."""
    SAY.set(say)
    await function(storage, say, *arguments)


async def _word_of(task: asyncio.Task[None], words: asyncio.Queue[Any]) -> Any:
    word = asyncio.ensure_future(words.get())
    try:
        await asyncio.wait({task, word}, return_when=asyncio.FIRST_COMPLETED)
        if not word.done():
            task.result()
            raise AssertionError("the function has ended without another word")
        return word.result()
    finally:
        word.cancel()
