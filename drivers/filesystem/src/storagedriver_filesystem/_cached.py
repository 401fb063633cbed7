"""Looks at files that the kernel answers from memory, made on the event loop itself.

A call in a thread costs its caller many times what such a look does. Whether it would have to wait,
for a disk or a file server, is the kernel's to say: `RESOLVE_CACHED` (Linux 5.12) opens only what
can be found in memory, and `RWF_NOWAIT` reads only what is there; io_uring tries its calls on the
caller's thread by the same means. That there is nothing at a path is known so, too. Whatever cannot
be answered at once, or is another error, is left to a thread: here the answer is then "not known".

Small files stay open for a moment (`_held.py`), and tell whether they are as they were.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable

from storagedriver_core import PathNotFoundError
from storagedriver_filesystem import _quick
from storagedriver_filesystem._held import HeldFiles

# Of these it is known that opening what is in memory waits for nobody; on a file server's it may.
_LOCAL_TYPES = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs"})

# Reading more takes longer than handing it to a thread.
_MOST_BYTES = 64 * 1024

# Half a character is no part of a contract path, so it needs no care as in `os.fsencode`.
_ENCODING = sys.getfilesystemencoding()

# A loop has other things to do: so many looks take less than a millisecond.
_LOOKS_IN_A_ROW = 50

PART_BYTES = 512 * 1024
"""The most that is read at once: some 50 microseconds."""


class CachedFiles:
    """The files below a root directory, as far as the kernel knows them by heart.

    Args:
        root: Absolute path of the root directory.
        close_later: Closes a descriptor in a thread.

    Attributes:
        is_local: Whether the root is on a local filesystem.
    """

    def __init__(self, root: str, close_later: Callable[[int], object]) -> None:
        self._root = root
        self._root_bytes = os.fsencode(root)
        self.is_local = False
        self._device: int | None = None
        self._device_of_parts: int | None = None
        self._looks = 0
        self._close_later = close_later
        self._held = HeldFiles(close_later)

    def open(self) -> None:
        """Find out whether the root is on a local filesystem. Blocks."""
        # Links on the way to it are followed anew by each operation, which the kernel does not do
        # at once.
        is_linked = os.path.realpath(self._root) != self._root
        is_left_out = is_linked or not _quick.IS_COMPLETE
        self._held = HeldFiles(self._close_later)
        device = local_device(self._root)
        self.is_local = device is not None
        self._device = None if is_left_out else device
        self._device_of_parts = device if _quick.IS_COMPLETE else None

    def close(self) -> None:
        """Know nothing any more."""
        self._device = self._device_of_parts = None
        self._held.close()

    def is_due(self) -> bool:
        """Tell whether so much was looked at that others should have their turn."""
        self._looks += 1
        if self._looks < _LOOKS_IN_A_ROW:
            return False
        self._looks = 0
        return True

    def has_file(self, path: str) -> bool:
        """Tell whether it is known that there is a file at a contract path.

        Raises:
            PathNotFoundError: It is known that there is nothing.
        """
        if self._held.has(path):
            return True
        fd = self._open(path, _quick.CACHED_LOOK)
        if fd < 0:
            return False
        status = self._status(fd)
        if status is None:
            _quick.close(fd)
            return False
        self._held.take(path, fd, status)
        return True

    def content(self, path: str) -> bytes | None:
        """Give a small file; None if that cannot be done at once.

        Raises:
            PathNotFoundError: It is known that there is nothing.
        """
        content = self._held.content(path)
        if content is not None:
            return content
        fd = self._open(path, _quick.CACHED_READ)
        if fd < 0:
            return None
        status = self._status(fd)
        content = None if status is None else self._read(fd, status)
        if status is None or content is None:
            _quick.close(fd)
            return None
        self._held.take(path, fd, status, content)
        return content

    def has_parts(self, fd: int) -> bool:
        """Tell whether an open file is one that `part` may read."""
        return os.fstat(fd).st_dev == self._device_of_parts

    def part(self, fd: int, offset: int, size: int) -> bytes:
        """Give what the kernel has in memory of a part of an open file: the beginning, or nothing.

        Args:
            fd: The file, which has parts.
            offset: Where the part begins.
            size: Bytes wanted.
        """
        if self._device_of_parts is None:
            return b""
        try:
            return _quick.read(fd, offset, size)
        except OSError:
            return b""

    def _open(self, path: str, how: _quick.Cached) -> int:
        """Open a file; a negative number if that cannot be done at once."""
        if self._device is None:
            return -1
        fd = _quick.open_cached(self._root_bytes + path.encode(_ENCODING), how)
        if fd == -errno.ENOENT and self._has_root():
            raise PathNotFoundError("not found")
        return fd

    def _has_root(self) -> bool:
        """Tell whether it is known that the root is there: else nothing is missing below it."""
        fd = _quick.open_cached(self._root_bytes, _quick.CACHED_DIRECTORY)
        if fd < 0:
            return False
        _quick.close(fd)
        return True

    def _status(self, fd: int) -> _quick.Status | None:
        """Tell of a file what it is; None if it is none, or not known to be a local one."""
        try:
            status = _quick.status(fd)
        except OSError:
            self.close()
            return None
        _, mode, _, _, _, major, minor = status
        if os.makedev(major, minor) != self._device:
            # Another filesystem is mounted in the tree: nothing is asked here a second time.
            self.close()
            return None
        return status if stat.S_ISREG(mode) else None

    def _read(self, fd: int, status: _quick.Status) -> bytes | None:
        """Give all of a file; None if that cannot be done at once."""
        size = status[2]
        if size > _MOST_BYTES:
            return None
        if not size:
            return b""
        try:
            # Some filesystems read nothing so, not even what is in memory.
            data = _quick.read(fd, 0, size)
        except OSError:
            return None
        return data if len(data) == size else None


def local_device(path: str) -> int | None:
    """Give the device number of what `path` is on, if that is a local filesystem. Blocks."""
    try:
        device = os.stat(path).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = mounts.readlines()
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        # Source: proc_pid_mountinfo(5). The type is the first field after a lone hyphen.
        mount, _, kind = line.partition(" - ")
        if mount.split(" ", 3)[2] == number and kind.split(" ", 1)[0] in _LOCAL_TYPES:
            return device
    return None
