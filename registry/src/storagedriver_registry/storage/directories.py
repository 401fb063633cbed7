"""The directories in a directory, in the order of their names, read only as far as is wanted."""

from __future__ import annotations

import heapq
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from storagedriver_core import Storage

# What sorts before the slash that a listing counts at the end of a directory's name.
_BEFORE_SLASH = re.compile(r"[\0-.]")


async def directories(storage: Storage, path: str, start: str = "") -> AsyncGenerator[str, None]:
    """Give the names of the directories in a directory, in byte order.

    Where the store lists in order, what comes before `start` is not listed, and what is not taken
    is not either.

    Args:
        storage: Where it is.
        path: The directory.
        start: Only this name, which need not exist, and those after it.

    Raises:
        PathNotFoundError: There is no such directory.
    """
    allowed = storage.capabilities
    after = f"{path}/{start}" if start and allowed.walk_with_start_after else None
    waiting: list[str] = []
    async with aclosing(storage.list(path, start_after=after)) as entries:
        async for entry in entries:
            name = entry.path.rpartition("/")[2]
            if not entry.is_dir or name < start:
                continue
            heapq.heappush(waiting, name)
            while allowed.ordered_walk and waiting and not _may_be_preceded(waiting[0], name):
                yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)


def _may_be_preceded(name: str, listed: str) -> bool:
    """Tell whether what is listed after `listed` may come before `name`.

    A listing has `a-b/` before `a/`: a name comes after those that it is the beginning of.
    """
    early = _BEFORE_SLASH.search(name, 1)
    return early is not None and f"{name[: early.start()]}/" > f"{listed}/"
