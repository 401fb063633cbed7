"""Many calls, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

ItemT = TypeVar("ItemT")


async def each_of(
    items: Iterable[ItemT], call: Callable[[ItemT], Awaitable[object]], *, at_once: int
) -> None:
    """Call with each item, from `at_once` tasks; the first error ends all of them."""
    left = iter(items)

    async def some() -> None:
        for item in left:
            await call(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(some())
