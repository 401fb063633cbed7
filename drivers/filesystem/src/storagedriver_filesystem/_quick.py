"""System calls that wait for nobody, and so keep the interpreter's lock.

Functions of `os` let go of the lock around each call. Whoever waits for it takes it then, and to
have it back costs a change of threads: several times what these calls take. They are for files that
the kernel finds in memory, and for nothing else, since meanwhile no other thread runs Python.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any, NewType

from storagedriver_filesystem import _statx
from storagedriver_filesystem._beneath import (
    AT_FDCWD,
    READ,
    RESOLVE_NO_SYMLINKS,
    SYS_OPENAT2,
    load_syscall,
    open_how,
)

_RESOLVE_CACHED = 0x20

_WANTED = _statx.TYPE | _statx.MODE | _statx.NLINK | _statx.SIZE | _statx.CTIME
# Links, mode, size, time of change, and device, where statx(2) has them.
_STATUS = struct.Struct("16x I 8x H 10x Q 48x qI 28x II")

Status = tuple[int, int, int, int, int, int, int]
"""Links, mode, bytes, time of change in seconds and nanoseconds, and device as two numbers."""

_RWF_NOWAIT = 0x08

Cached = NewType("Cached", bytes)
"""How `open_cached` opens."""


def _cached(flags: int) -> Cached:
    how = open_how(flags | os.O_CLOEXEC, 0, _RESOLVE_CACHED | RESOLVE_NO_SYMLINKS)
    return Cached(how)


CACHED_LOOK = _cached(READ | os.O_NOCTTY)
"""For looking at a file."""

CACHED_DIRECTORY = _cached(os.O_PATH | os.O_DIRECTORY)
"""For knowing whether there is a directory."""

CACHED_READ = _cached(READ | os.O_NOCTTY | os.O_NOATIME)
"""For reading from it. To note the time of that can wait for the disk; only of one's own files can
it be left out, and others are not opened."""


def open_cached(path: bytes, how: Cached) -> int:
    """Open a file, if the kernel knows the way to it by heart.

    Args:
        path: Absolute; no component of it may be a symbolic link.
        how: What for.

    Returns:
        The descriptor; or, negative, the error's number: `EAGAIN` if the kernel does not know.
    """
    fd: int = _syscall(SYS_OPENAT2, AT_FDCWD, path, how, len(how))
    return fd if fd >= 0 else -ctypes.get_errno()


def status(fd: int) -> Status:
    """Tell of a file that is open what it is.

    Raises:
        OSError: The call is forbidden, as in some containers.
    """
    found = (ctypes.c_char * _statx.BYTES)()
    if _call_statx(fd, b"", _statx.AT_EMPTY_PATH, _WANTED, found) < 0:
        raise _error()
    known: Status = _STATUS.unpack_from(found)
    return known


def read(fd: int, offset: int, size: int) -> bytes:
    """Give so many bytes of a file; less at its end, or if the kernel has to wait for more.

    Args:
        fd: The file.
        offset: Where they begin.
        size: One at least.

    Raises:
        OSError: `EAGAIN` if it has nothing; some filesystems do not read so at all.
    """
    # As `os.pread` does: into bytes that nobody has seen yet, so that they are copied once.
    data: bytes = _new_bytes(None, size)
    count: int = _preadv2(fd, _Vector(_address_of(data), size), 1, offset, _RWF_NOWAIT)
    if count < 0:
        raise _error()
    return data if count == size else data[:count]


def close(fd: int) -> None:
    """Close a file that was opened for reading."""
    _close(fd)


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


_Vector = ctypes.c_size_t * 2
_library = ctypes.PyDLL(None, use_errno=True)
_syscall = load_syscall(_library)
_close = _library.close
_close.argtypes = [ctypes.c_int]
_call_statx: Any = _statx.load_statx(_library)
# Where `off_t` has 32 bits the plain name takes such an offset; musl has no other name.
_preadv2: Any = getattr(_library, "preadv64v2", None) or getattr(_library, "preadv2", None)

# Not those of `ctypes.pythonapi`, whose types others may set otherwise.
_new_bytes: Any = _library.PyBytes_FromStringAndSize
_address_of: Any = _library.PyBytes_AsString

IS_COMPLETE = _call_statx is not None and _preadv2 is not None
"""Whether all of these calls can be made. Source: glibc 2.28; musl 1.2.5."""

if IS_COMPLETE:
    _preadv2.argtypes = [
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong, ctypes.c_int)
    ]
    _preadv2.restype = ctypes.c_ssize_t
    _new_bytes.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]
    _new_bytes.restype = ctypes.py_object
    _address_of.argtypes = [ctypes.py_object]
    _address_of.restype = ctypes.c_void_p
