"""Writing the most of a large upload past the kernel's memory.

What is written the ordinary way is first copied to memory that the kernel has to find, and from
there to the disk. Of a large upload that is much memory, taken from what others read; and where it
was not in use before, as in a virtual machine, it costs more processor time than all else that a
push does. So from some mebibytes on (`O_DIRECT`) the disk takes the bytes from a buffer here.

It takes whole blocks alone, from whole blocks of memory. So what is not in such memory is copied to
an aligned buffer, and what a write has before its first whole block and after its last one is
written the ordinary way. A write that goes on where another has ended shares such a block with it,
and neither writes that one direct.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from storagedriver_core import Buffer
from storagedriver_filesystem._beneath import Descriptor
from storagedriver_filesystem._writing import flat, write_all

# Most layers are smaller, and are asked for soon: those stay in memory.
_CACHED_BYTES = 16 * 1024 * 1024
_LEAST_BYTES = 256 * 1024
# A multiple of every disk's block that is known; and of the pages of memory, so that none has bytes
# of both ways.
_BLOCK_BYTES = max(4096, mmap.PAGESIZE)
# Measured with 256 MiB: with 256 KiB a sixth slower, with 1 MiB no faster.
_BUFFER_BYTES = 512 * 1024
_MOST_KEPT = 8

# 0 where the system has no such flag.
_O_DIRECT = getattr(os, "O_DIRECT", 0)


class DirectWriting:
    """Writes of one driver's uploads, from any thread.

    Attributes:
        is_wanted: Whether the files are on a local filesystem. A file server's client has its own
            ways, and may wait for each write.
    """

    def __init__(self) -> None:
        self.is_wanted = False
        self._is_refused = not _O_DIRECT
        self._buffers: deque[mmap.mmap] = deque()

    def write(self, fd: int, offset: int, data: Sequence[Buffer]) -> int | None:
        """Write buffers one after the other, and give their size.

        Returns:
            None if nothing was written, since it is as well written the ordinary way.
        """
        if self._is_refused or not self.is_wanted or offset < _CACHED_BYTES:
            return None
        views = deque(flat(buffer) for buffer in data if len(buffer))
        size = sum(map(len, views))
        if size < _LEAST_BYTES:
            return None
        opened = self._open(fd)
        if opened is None:
            return None
        with opened as direct:
            before = -offset % _BLOCK_BYTES
            position = offset + write_all(fd, offset, _take(views, before))
            blocks = (size - before) // _BLOCK_BYTES * _BLOCK_BYTES
            self._write_blocks(fd, direct, position, views, blocks)
            write_all(fd, position + blocks, views)
        return size

    def _open(self, fd: int) -> Descriptor | None:
        """Open the same file so; None where it cannot be had."""
        try:
            # Not a flag of the open file itself: other threads write to that at the same time.
            return Descriptor(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | _O_DIRECT))
        except OSError as error:
            if error.errno in _NOT_TAKEN:
                self._is_refused = True
            return None

    def _write_blocks(
        self, fd: int, direct: int, offset: int, views: deque[memoryview], size: int
    ) -> None:
        end = offset + size
        while offset < end:
            length = _whole_blocks(views[0], end - offset)
            if length:
                self._write_buffer(fd, direct, offset, *_take(views, length))
            else:
                length = min(end - offset, _BUFFER_BYTES)
                self._write_copy(fd, direct, offset, _take(views, length))
            offset += length

    def _write_copy(self, fd: int, direct: int, offset: int, views: Sequence[memoryview]) -> None:
        buffer = self._take_buffer()
        try:
            with memoryview(buffer) as room:
                at = 0
                for view in views:
                    room[at : at + len(view)] = view
                    at += len(view)
                with room[:at] as filled:
                    self._write_buffer(fd, direct, offset, filled)
        finally:
            if len(self._buffers) < _MOST_KEPT:
                self._buffers.append(buffer)

    def _write_buffer(self, fd: int, direct: int, offset: int, filled: memoryview) -> None:
        written = 0
        if not self._is_refused:
            try:
                written = os.pwrite(direct, filled, offset)
            except OSError as error:
                if error.errno not in _NOT_TAKEN:
                    raise
                self._is_refused = True  # blocks are larger here, or the filesystem cannot do it
        # Where the disk is nearly full, some of it; the ordinary way tells why.
        write_all(fd, offset + written, [filled[written:]])

    def _take_buffer(self) -> mmap.mmap:
        with suppress(IndexError):
            return self._buffers.pop()
        # Not shared, as by default: a forked child would write to its parent's.
        return mmap.mmap(-1, _BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


_NOT_TAKEN = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


def _whole_blocks(view: memoryview, most: int) -> int:
    """Give how many bytes of it, from its first on, are whole blocks of memory."""
    # Where others are, as bytes, cannot be asked; they begin behind a head, and so within a block.
    if view.readonly or len(view) < _BLOCK_BYTES:
        return 0
    is_at_block = ctypes.addressof(ctypes.c_char.from_buffer(view)) % _BLOCK_BYTES == 0
    return min(len(view), most) // _BLOCK_BYTES * _BLOCK_BYTES if is_at_block else 0


def _take(views: deque[memoryview], size: int) -> list[memoryview]:
    """Take so many bytes from the beginning."""
    taken: list[memoryview] = []
    while size:
        view = views.popleft()
        if len(view) > size:
            views.appendleft(view[size:])
            view = view[:size]
        taken.append(view)
        size -= len(view)
    return taken
