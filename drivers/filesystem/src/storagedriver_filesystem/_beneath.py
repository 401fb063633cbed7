"""Opening what lies below a directory, without following a symbolic link on the way.

A check before the open would race with whoever plants a link in between. The kernel (5.6 and
later) does both in one step, `openat2`; measured, it costs what `open` costs. Where it is missing
or forbidden (gVisor, old seccomp profiles), each component is opened from the one before.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from types import TracebackType

# Source: openat2(2). The number is the same on every architecture that CPython has wheels for.
SYS_OPENAT2 = 437
RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
AT_FDCWD = -100

_ALWAYS = os.O_CLOEXEC | os.O_NOCTTY
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
# A pipe must not block the open, and no device is ever read: what is no file is refused later.
READ = os.O_RDONLY | os.O_NONBLOCK


class Descriptor:
    """A file descriptor that is closed when its `with` block ends."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> int:
        return self.fd

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def detach(self) -> int:
        """Give the descriptor away: the `with` block no longer closes it."""
        fd, self.fd = self.fd, -1
        return fd


def open_beneath(directory: int, path: str, flags: int, mode: int = 0) -> int:
    """Open the relative `path`, of which no component may be a symbolic link.

    Args:
        directory: Descriptor to start from.
        path: Components joined by `/`; empty for the directory itself.
        flags: As for `os.open`.
        mode: Permissions of a new file, with `O_CREAT`.

    Raises:
        OSError: As `os.open` does; `ELOOP` for a symbolic link.
    """
    return _open(directory, path or ".", flags | _ALWAYS, mode)


def open_how(flags: int, mode: int, resolve: int) -> bytes:
    """Give `struct open_how`. Source: openat2(2)."""
    return struct.pack("QQQ", flags, mode, resolve)


def _open_in_one_step(directory: int, path: str, flags: int, mode: int) -> int:
    how = open_how(flags, mode, RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH)
    encoded = os.fsencode(path)
    while True:
        fd: int = _syscall(SYS_OPENAT2, directory, encoded, how, len(how))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), path)


def _open_by_components(directory: int, path: str, flags: int, mode: int) -> int:
    *parents, leaf = path.split("/")
    current = directory
    try:
        for name in parents:
            below = _open_component(current, name, os.O_PATH | os.O_DIRECTORY | _ALWAYS, 0)
            if current != directory:
                os.close(current)
            current = below
        return _open_component(current, leaf, flags, mode)
    finally:
        if current != directory:
            os.close(current)


def _open_component(directory: int, name: str, flags: int, mode: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory)
    except NotADirectoryError:
        # With O_DIRECTORY the kernel says so of a link as well.
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise


def load_syscall(library: ctypes.CDLL) -> ctypes._NamedFuncPointer:
    """Give `syscall`, typed as `openat2` needs it."""
    function = library.syscall
    function.restype = ctypes.c_long
    function.argtypes = [
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    return function


def _has_openat2() -> bool:
    try:
        os.close(_open_in_one_step(AT_FDCWD, ".", os.O_PATH | os.O_CLOEXEC, 0))
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


_syscall = load_syscall(ctypes.CDLL(None, use_errno=True))
_open = _open_in_one_step if _has_openat2() else _open_by_components
