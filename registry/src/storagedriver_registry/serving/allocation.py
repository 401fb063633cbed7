"""How the C library keeps freed memory for what comes next.

By itself glibc gives the top of the heap back as soon as twice the largest block is free there, and
several streams let go of all their chunks again and again. Then each page that passes is fetched
from the system anew, and cleared: see docs/decisions/0023. And it has a heap for each of several
threads, so that what one of them has freed is of no use to the others.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_MIB = 1024 * 1024

KEPT_BYTES = 16 * _MIB
"""Free bytes at the top of the heap that are kept."""

LARGE_BYTES = 2 * _MIB
"""Blocks of this size, as the parts of uploads are, go back to the system when they are freed."""

# Source: glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_VARIABLES = (
    *("GLIBC_TUNABLES", "MALLOC_ARENA_MAX"),
    *("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"),
)


def keep_freed_memory() -> None:
    """Keep some, unless the environment says how much; other C libraries stay as they are."""
    if any(name in os.environ for name in _VARIABLES):
        return
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_ARENA_MAX, 1)
