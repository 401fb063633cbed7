"""Syncs of several files that wait for the disk together.

One after the other, each would wait for the disk alone. A thread for each, of small files, spends
more on turns of threads and of the interpreter's lock than on all else that a put does. So the
kernel is given all of them in one call (Linux's native AIO), and waits in threads of its own. Where
it takes none (seccomp profiles, gVisor, no more queues), threads of the driver's wait.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Sequence

from storagedriver_filesystem._threads import Threads

# A lone one is as well off with a plain call.
LEAST = 2
# Syncs that wait together share flushes of the disk. Measured with puts of 4 KiB by eight tasks:
# beside other load one thread takes five times as long as eight, and without it as long.
_THREADS = 8
_MOST = 64


def sync_together(threads: Threads, descriptors: Sequence[int]) -> list[int]:
    """Sync open files and directories, and give for each its error's number, 0 for none."""
    if len(descriptors) < LEAST:
        return _sync_in_threads(threads, descriptors)
    codes: list[int] = []
    for start in range(0, len(descriptors), _MOST):
        some = descriptors[start : start + _MOST]
        queue = _take_queue()
        if queue is None:
            codes += _sync_in_threads(threads, some)
        else:
            codes += queue.sync(some)
            # Only now: one that has failed may still hold answers to what it was asked.
            _idle.append(queue)
    return codes


class Queue:
    """A queue of the kernel's, for one thread at a time: io_setup(2).

    Raises:
        OSError: There is none: they are forbidden, or used up (`fs.aio-max-nr`).
    """

    def __init__(self) -> None:
        if _NUMBERS is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        setup, self._submit, self._get_events = _NUMBERS
        self._id = ctypes.c_ulong(0)
        self._requests = (_Request * _MOST)()
        for place, request in enumerate(self._requests):
            request.data = place
            request.opcode = _IOCB_CMD_FSYNC
        first, size = ctypes.addressof(self._requests), ctypes.sizeof(_Request)
        places = range(first, first + _MOST * size, size)
        self._pointers = (ctypes.c_void_p * _MOST)(*places)
        self._events = (_Event * _MOST)()
        _call(setup, ctypes.c_uint(_MOST), ctypes.byref(self._id))

    def sync(self, descriptors: Sequence[int]) -> list[int]:
        """Sync `_MOST` files or fewer, and give for each its error's number, 0 for none."""
        count = len(descriptors)
        for place, descriptor in enumerate(descriptors):
            self._requests[place].descriptor = descriptor
        try:
            taken = _call(self._submit, self._id, ctypes.c_long(count), self._pointers)
        except OSError:
            taken = 0
        codes = [0] * count
        waiting = taken
        while waiting:
            least, most = ctypes.c_long(waiting), ctypes.c_long(_MOST)
            got = _call(self._get_events, self._id, least, most, self._events, None)
            for event in self._events[:got]:
                codes[event.data] = -event.result
            waiting -= got
        # From the first on that the kernel did not take, as one whose filesystem knows no sync.
        for place in range(taken, count):
            codes[place] = _sync(descriptors[place])
        return codes


class _Request(ctypes.Structure):
    """`struct iocb`. Source: linux/aio_abi.h, for little-endian machines."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_uint32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("descriptor", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("event_descriptor", ctypes.c_uint32),
    )


class _Event(ctypes.Structure):
    """`struct io_event`. Source: linux/aio_abi.h."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("request", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("result2", ctypes.c_int64),
    )


# Source: linux/aio_abi.h.
_IOCB_CMD_FSYNC = 2
# Numbers of io_setup, io_submit and io_getevents. Source: syscalls(2).
_X86_64, _GENERIC = (206, 209, 208), (0, 2, 4)
_NUMBERS = (
    {"x86_64": _X86_64, "aarch64": _GENERIC, "riscv64": _GENERIC}.get(platform.machine())
    if sys.maxsize > 2**32
    else None
)


def _call(number: int, *arguments: object) -> int:
    while True:
        result: int = _syscall(number, *arguments)
        if result >= 0:
            return result
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def _take_queue() -> Queue | None:
    """Give a queue that nobody uses, a new one if need be; None where there is none to be had."""
    global _refused
    try:
        return _idle.pop()
    except IndexError:
        pass
    if _refused:
        return None
    try:
        return Queue()
    except OSError as error:
        # Those that are used up may be free again later.
        _refused = error.errno != errno.EAGAIN
        return None


def _after_fork() -> None:
    """Forget, in a child process, the queues, which are its parent's."""
    _idle.clear()


def _sync_in_threads(threads: Threads, descriptors: Sequence[int]) -> list[int]:
    codes = [0] * len(descriptors)

    def sync(place: int) -> None:
        codes[place] = _sync(descriptors[place])

    threads.share(sync, range(len(descriptors)), max_threads=_THREADS)
    return codes


def _sync(descriptor: int) -> int:
    try:
        os.fsync(descriptor)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


_library = ctypes.CDLL(None, use_errno=True)
_syscall = _library.syscall
_syscall.restype = ctypes.c_long
# There are as many as batches at once, of the whole process, and they cost a few pages each.
_idle: list[Queue] = []
_refused = False
os.register_at_fork(after_in_child=_after_fork)
