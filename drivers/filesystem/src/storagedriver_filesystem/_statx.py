"""`statx`, of which `os` has nothing before Python 3.15. Source: statx(2).

What it fills has the same layout on every architecture, other than that of `fstat`.
"""

from __future__ import annotations

import ctypes

AT_EMPTY_PATH = 0x1000
"""With an empty path: about the descriptor itself."""

TYPE, MODE, NLINK, CTIME, INO, SIZE, BTIME = 0x001, 0x002, 0x004, 0x080, 0x100, 0x200, 0x800

BYTES = 256


def load_statx(library: ctypes.CDLL) -> ctypes._NamedFuncPointer | None:
    """Give the function, typed; None if the C library has none."""
    function = getattr(library, "statx", None)
    if function is not None:
        function.argtypes = [
            *(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
        ]
    return function
