"""How much of a body is read at once: as much as is taken in a moment.

A large chunk is cheap. But what a server holds for a client that reads slowly is some chunks, and
there may be many such clients. So chunks grow while they are taken at once, and shrink when one
waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_BYTES = 64 * 1024
MOST_BYTES = 1024 * 1024

# Of a slow client this much is taken at once all the same: the sockets on the way hold it.
HELD_BY_SOCKETS_BYTES = 5 * 1024 * 1024

QUICK_SECONDS = 0.05
SLOW_SECONDS = 0.25


class Pace:
    """The size of the next chunk of one body.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._size = LEAST_BYTES
        self._given = 0
        self._since = 0.0

    def size(self) -> int:
        """Give how many bytes to read for who has taken the last chunk, and asks for the next."""
        if self._given < HELD_BY_SOCKETS_BYTES:
            return LEAST_BYTES
        seconds = self._clock() - self._since
        if seconds < QUICK_SECONDS:
            self._size = min(2 * self._size, MOST_BYTES)
        elif seconds > SLOW_SECONDS:
            self._size = max(self._size // 2, LEAST_BYTES)
        return self._size

    def gave(self, count: int) -> None:
        """Note that a chunk of `count` bytes is handed out."""
        self._given += count
        self._since = self._clock()
