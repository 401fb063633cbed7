"""Memory for what requests carry: there is so much of it, and who finds none waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """So many bytes, given out in the order in which they were asked for.

    Args:
        size: Bytes in all; nobody asks for more at once.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._freed = asyncio.Event()
        # Whoever has the turn waits for as much as it needs, and small ones do not overtake it.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Have so many bytes for the length of the block; waits for them."""
        async with self._turn:
            while self._free < size:
                self._freed.clear()
                await self._freed.wait()
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._freed.set()
