"""Writing bytes to staging files, and copying them from file to file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence

from storagedriver_core import Buffer, ConflictError
from storagedriver_filesystem._errors import translating
from storagedriver_filesystem._info import (
    read_raw_attributes,
    set_unique_time,
    write_raw_attributes,
)
from storagedriver_filesystem._publish import Parents, Target, publish
from storagedriver_filesystem._staging import Staging
from storagedriver_filesystem._threads import Stop
from storagedriver_filesystem._tree import Tree
from storagedriver_filesystem._writeback import begin_writeback

_IOV_MAX = os.sysconf("SC_IOV_MAX")
_SLICE_BYTES = 16 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024
# Linux takes memory for a file in pieces as large as the write, and 1 MiB in one piece is rarely
# memory that was used before: in a virtual machine the host has to find it first. Measured there,
# 256 MiB took 550 ms of processor by 1 MiB, and 60 by 256 KiB.
_CALL_BYTES = 256 * 1024


def copy(tree: Tree, staging: Staging, source: str, target: Target, stop: Stop) -> None:
    """Copy a file and its attributes."""
    with tree.open_root() as root:
        with translating(writing=False, path=source):
            opened = tree.open_file(root, source)
        with (
            opened as origin,
            translating(writing=True, path=target.path),
            staging.make(root) as directory,
            staging.temporary(directory) as (fd, name),
        ):
            attributes = read_raw_attributes(origin)
            if attributes is not None:
                write_raw_attributes(fd, attributes)
            copy_range(origin, 0, fd, 0, os.fstat(origin).st_size, stop)
            set_unique_time(fd)
            os.fsync(fd)
            stop.check()
            with Parents(tree, root) as parents:
                parents.settle(publish(parents, directory, name, fd, target))


def write_all(fd: int, offset: int, data: Iterable[Buffer]) -> int:
    """Write the buffers one after the other, and give their size; short writes go on."""
    rest = [flat(buffer) for buffer in data if len(buffer)]
    position = offset
    while rest:
        written = os.pwritev(fd, _first(rest), position)
        position += written
        done = 0
        while done < len(rest) and written >= len(rest[done]):
            written -= len(rest[done])
            done += 1
        del rest[:done]
        if written:
            rest[0] = rest[0][written:]
    return position - offset


def _first(views: Sequence[memoryview]) -> list[memoryview]:
    """Give what one system call writes of the views."""
    call: list[memoryview] = []
    room = _CALL_BYTES
    for view in views[:_IOV_MAX]:
        if not room:
            break
        call.append(view[:room])
        room -= len(call[-1])
    return call


def flat(buffer: Buffer) -> memoryview:
    """Give a buffer's bytes, without a copy where they lie in one row."""
    view = memoryview(buffer)
    return view.cast("B") if view.c_contiguous else memoryview(bytes(view))


def copy_range(
    source: int, source_offset: int, target: int, offset: int, size: int, stop: Stop
) -> None:
    """Copy bytes from file to file; they pass through this process only where they must."""
    end = offset + size
    copy_slice = _copy_in_kernel
    while offset < end:
        stop.check()
        try:
            count = copy_slice(source, source_offset, target, offset, end - offset)
        except OSError as error:
            if copy_slice is _copy_by_buffer or error.errno not in _NOT_IN_KERNEL:
                raise
            copy_slice = _copy_by_buffer
            continue
        if count == 0:
            raise ConflictError(f"the source ends {end - offset} bytes early")
        begin_writeback(target, offset, count)
        source_offset += count
        offset += count


# Source: copy_file_range(2): between filesystems, and on those that do not have it.
_NOT_IN_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def _copy_in_kernel(source: int, source_offset: int, target: int, offset: int, most: int) -> int:
    return os.copy_file_range(source, target, min(most, _SLICE_BYTES), source_offset, offset)


def _copy_by_buffer(source: int, source_offset: int, target: int, offset: int, most: int) -> int:
    data = os.pread(source, min(most, _BUFFER_BYTES), source_offset)
    return write_all(target, offset, [data])
