"""Several requests to the store at once, and not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

AT_ONCE = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


async def for_each(
    function: Callable[[Item], Awaitable[Result]], items: Sequence[Item], at_once: int = AT_ONCE
) -> list[Result]:
    """Call a function for each item, `at_once` at a time, and give the results in order.

    Nothing is at work any more when it returns or raises.

    Raises:
        Exception: The first error, by the order of the items. What comes after its lot is not
            begun.
    """
    results: list[Result] = []
    for start in range(0, len(items), at_once):
        lot = items[start : start + at_once]
        if len(lot) == 1:
            results.append(await function(lot[0]))
            continue
        done = await asyncio.gather(*map(function, lot), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
            results.append(result)
    return results
