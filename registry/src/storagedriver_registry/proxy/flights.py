"""One question for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Flights(Generic[K, T]):
    """Work under way, by what it is about. It goes on although those who wait for it leave."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[T]] = {}

    async def join(self, key: K, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Give what the work under way returns; begin it if there is none.

        Args:
            key: What it is about.
            begin: Makes the work.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(begin())

            def land(task: asyncio.Task[T]) -> None:
                del self._tasks[key]
                if not task.cancelled():
                    # Whoever waited has it; nobody may have.
                    task.exception()

            task.add_done_callback(land)
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """End all work that is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
