"""Telling a directory from another one that has taken its name, and maybe its number."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import NewType

Identity = NewType("Identity", bytes)
"""Differs for each directory that is or was there.

Numbers are given again as soon as they are free. So the time of birth belongs to it, which the
kernel knows to a few milliseconds; on a filesystem that keeps none it is 0, and a directory that
was made in place of a removed one may pass for that.
"""

# Source: statx(2). The layout is the same on every architecture.
_AT_EMPTY_PATH = 0x1000
_STATX_INO = 0x100
_STATX_BTIME = 0x800
_BYTES = 256
_NUMBER, _BIRTH, _DEVICE = slice(32, 40), slice(80, 92), slice(136, 144)
_LIKE_THEM = struct.Struct("=Q12xII")


def _by_statx(function: ctypes._NamedFuncPointer) -> Callable[[int], Identity]:
    function.argtypes = [
        *(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint),
        ctypes.c_char_p,
    ]

    def identify(fd: int) -> Identity:
        found = ctypes.create_string_buffer(_BYTES)
        if function(fd, b"", _AT_EMPTY_PATH, _STATX_INO | _STATX_BTIME, found):
            return by_fstat(fd)  # forbidden, as in some containers
        status = found.raw
        return Identity(status[_NUMBER] + status[_BIRTH] + status[_DEVICE])

    return identify


def by_fstat(fd: int) -> Identity:
    """Give the identity of an open directory without its time of birth."""
    status = os.fstat(fd)
    device = os.major(status.st_dev), os.minor(status.st_dev)
    return Identity(_LIKE_THEM.pack(status.st_ino, *device))


def _best() -> Callable[[int], Identity]:
    library = ctypes.CDLL(None, use_errno=True)
    return _by_statx(library.statx) if hasattr(library, "statx") else by_fstat


identify = _best()
"""Give the identity of an open directory."""
