"""Puts events into the queue: those of several requests at once, so that they share one sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeAlias, TypeVar

from storagedriver_registry.notifications.queue import Queue

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Rows: TypeAlias = Sequence[tuple[str, str]]


class Journal:
    """The queue, for the event loop.

    Args:
        queue: The queue, not open yet.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[tuple[_Rows, asyncio.Future[list[bool]]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the queue.

        Raises:
            ConfigurationError: Its directory cannot be used.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="notifications")
        try:
            await self.run(self.queue.open)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the queue, when what is being added is there. Idempotent."""
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        if self._thread is not None:
            await self.run(self.queue.close)
            self._thread.shutdown()
            self._thread = None

    async def run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a method of the queue, on its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))

    async def add(self, rows: _Rows) -> list[bool]:
        """Add events; they are durable when it returns.

        Raises:
            sqlite3.Error: They cannot be kept.
        """
        added = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, added))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        # Who does not wait any more takes nothing back.
        return await asyncio.shield(added)

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            rows = [row for some, _ in batch for row in some]
            try:
                taken = await self.run(self.queue.add, rows)
            except Exception as error:
                for _, added in batch:
                    _fail(added, error)
                continue
            for some, added in batch:
                if not added.done():
                    added.set_result(taken[: len(some)])
                taken = taken[len(some) :]


def _fail(added: asyncio.Future[list[bool]], error: Exception) -> None:
    if not added.done():
        added.set_exception(error)
        added.exception()  # whoever waits is told; it is no matter if nobody does
