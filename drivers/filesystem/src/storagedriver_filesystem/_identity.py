"""Telling a directory from another one that has taken its name, and maybe its number."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import NewType

from storagedriver_filesystem import _statx

Identity = NewType("Identity", bytes)
"""Differs for each directory that is or was there.

Numbers are given again as soon as they are free. So the time of birth belongs to it, which the
kernel knows to a few milliseconds; on a filesystem that keeps none it is 0, and a directory that
was made in place of a removed one may pass for that.
"""

# Where statx(2) has them.
_NUMBER, _BIRTH, _DEVICE = slice(32, 40), slice(80, 92), slice(136, 144)
_LIKE_THEM = struct.Struct("=Q12xII")


def _by_statx(function: ctypes._NamedFuncPointer) -> Callable[[int], Identity]:
    def identify(fd: int) -> Identity:
        found = ctypes.create_string_buffer(_statx.BYTES)
        if function(fd, b"", _statx.AT_EMPTY_PATH, _statx.INO | _statx.BTIME, found):
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
    function = _statx.load_statx(ctypes.CDLL(None, use_errno=True))
    return by_fstat if function is None else _by_statx(function)


identify = _best()
"""Give the identity of an open directory."""
