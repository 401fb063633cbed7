"""The same for each of many, several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""What a store of any kind answers sooner than one after the other, and none takes for a flood."""


async def at_once(
    items: Sequence[T], work: Callable[[T], Awaitable[R]], most: int = AT_ONCE
) -> list[R]:
    """Do `work` for each item, up to `most` at once, and give the results in the items' order.

    If one fails, no other is begun; those under way come to their end, so that it is known what
    they did, and then the first error is raised. If the caller is cancelled, so are they.
    """
    if len(items) == 1:
        return [await work(items[0])]
    results: dict[int, R] = {}
    failures: list[Exception] = []
    left = iter(enumerate(items))

    async def do_some() -> None:
        for index, item in left:
            try:
                results[index] = await work(item)
            except Exception as error:
                failures.append(error)
            if failures:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(min(most, len(items))):
            group.create_task(do_some())
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(items))]
