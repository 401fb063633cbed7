"""Memory for large bodies on their way: whole pages, used again when nobody looks at them any more.

A block is given as a view, and is free when the last view of it is gone, whoever had that: what
hashes it, the disk, the traceback of an error. As bytes, each part of a body would be taken from
the heap and leave holes there, and would be copied once more where a disk takes whole pages alone.
"""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections import deque

BLOCK_BYTES = 512 * 1024
"""Of 256 KiB a push takes more processor time, and of a mebibyte more memory."""

# As many as an upload by one client has on its way, most of the time.
_MOST_KEPT = 4

_Block = ctypes.c_char * BLOCK_BYTES


class Blocks:
    """The blocks of one server. They are taken by one thread, and come back from any."""

    def __init__(self) -> None:
        self._free: deque[mmap.mmap] = deque()

    def take(self) -> memoryview:
        """Give a block, with anything in it."""
        try:
            memory = self._free.pop()
        except IndexError:
            # Not shared, as by default: a forked child would write to its parent's.
            memory = mmap.mmap(-1, BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # Each view of a view keeps this one alive, and nothing else does.
        block = _Block.from_buffer(memory)
        weakref.finalize(block, self._give_back, memory).atexit = False
        return memoryview(block).cast("B")

    def _give_back(self, memory: mmap.mmap) -> None:
        if len(self._free) < _MOST_KEPT:
            self._free.append(memory)
