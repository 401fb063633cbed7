"""How much memory of this process something takes at its peak."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

_SELF = Path("/proc/self")
# Source: proc(5), `clear_refs`: the peak begins anew from what is there.
_RESET_PEAK = "5"
_LIBC = ctypes.CDLL(None)


async def peak_of(run: Callable[[], Awaitable[None]]) -> int:
    """Run something, and give by how many bytes resident memory grew at most.

    What was freed before is given back first, so that it does not serve what comes.
    """
    gc.collect()
    _LIBC.malloc_trim(0)
    (_SELF / "clear_refs").write_text(_RESET_PEAK)
    before = _kibibytes("VmRSS")
    await run()
    return max(0, _kibibytes("VmHWM") - before) * 1024


def _kibibytes(name: str) -> int:
    for line in (_SELF / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"the kernel tells no {name}")
