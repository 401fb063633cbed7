"""Small files that were looked at a moment ago, and are still open.

Whoever looks at one again asks the open file alone whether it is as it was: a file that was
unlinked, or that another one was renamed over, has lost its link, and one that was written, renamed
or given other permissions has another time of change. That is one call that waits for nobody,
instead of the whole way to the file.

What it does not tell is that a directory on the way was renamed, mounted over or given other
permissions. So that counts for a tenth of a second, and then the way is gone again.

Descriptors are the process's, and so is the number of files that stay open, whichever drivers
looked at them. When few are free, all are let go.
"""

from __future__ import annotations

import itertools
import os
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from storagedriver_filesystem import _quick

_MOST_FILES = 256
"""And a quarter of the descriptors that the process may have: by custom 1,024 at least."""

_MOST_BYTES = 4096
"""Of a file: as long as it is open, its deletion frees nothing."""

_SECONDS = 0.1

_SETTLED_SECONDS = 1.1
"""Since the last change. Two changes may have the same time: the kernel's clock for that ticks
every few milliseconds, and ext2, or ext3 as it was, keep whole seconds."""


class _Held(NamedTuple):
    """One file.

    Attributes:
        fd: It, open.
        status: What it was.
        content: All of it; None if only that it is there was asked.
        until: When the way to it is to be gone again, by the monotonic clock.
        close_later: Closes it in a thread.
    """

    fd: int
    status: _quick.Status
    content: bytes | None
    until: float
    close_later: Callable[[int], object]

    def is_known(self) -> bool:
        """Tell whether the file is known to be where and as it was."""
        return time.monotonic() < self.until and _status(self.fd) == self.status

    def close(self) -> None:
        """Close it, elsewhere if that takes long: it frees a file that has no name any more."""
        now = _status(self.fd)
        if now is not None and now[0]:
            _quick.close(self.fd)
        else:
            self.close_later(self.fd)


_files: OrderedDict[tuple[int, str], _Held] = OrderedDict()
"""By number of the `HeldFiles` and contract path, the longest held first."""

# A number that was closed may at once name another file, so nobody closes while another asks.
_lock = threading.Lock()
_numbers = itertools.count()


class HeldFiles:
    """The files that one driver looked at last, by contract path; for any thread.

    Args:
        close_later: Closes a descriptor in a thread.
    """

    def __init__(self, close_later: Callable[[int], object]) -> None:
        self._number = next(_numbers)
        self._close_later = close_later
        self._is_closed = False

    def has(self, path: str) -> bool:
        """Tell whether a file is known to be where it was."""
        return self._find(path) is not None

    def content(self, path: str) -> bytes | None:
        """Give all of a file that is known to be as it was; None if that is not known."""
        held = self._find(path)
        return None if held is None else held.content

    def take(self, path: str, fd: int, status: _quick.Status, content: bytes | None = None) -> None:
        """Take a file that was just opened: it is closed here, now or later."""
        _, _, size, seconds, nanoseconds, _, _ = status
        age = time.time() - seconds - nanoseconds / 1e9
        until = time.monotonic() + _SECONDS
        held = _Held(fd, status, content, until, self._close_later)
        closed: list[_Held] = []
        with _lock:
            before = _files.pop((self._number, path), None)
            if before is not None:
                closed.append(before)
            if self._is_closed or age < _SETTLED_SECONDS or size > _MOST_BYTES:
                closed.append(held)
            else:
                _files[self._number, path] = held
                while len(_files) > _most_files():
                    closed.append(_files.popitem(last=False)[1])
        for each in closed:
            each.close()

    def close(self) -> None:
        """Close all, and take none any more."""
        with _lock:
            self._is_closed = True
            closed = [_files.pop(key) for key in [*_files] if key[0] == self._number]
        for held in closed:
            held.close()

    def _find(self, path: str) -> _Held | None:
        key = self._number, path
        with _lock:
            held = _files.get(key)
            if held is None or held.is_known():
                return held
            del _files[key]
        held.close()
        return None


def let_go() -> None:
    """Close all, of every driver. May wait for the disk."""
    with _lock:
        closed = [*_files.values()]
        _files.clear()
    for held in closed:
        os.close(held.fd)


def let_go_if_few_are_free(fd: int) -> None:
    """Close all if fewer descriptors are free than files may be held. May wait for the disk.

    Puts that are made together take some hundred, and other operations run at once.

    Args:
        fd: A new one: it has the lowest number that was free.
    """
    if fd >= _most_descriptors() - _most_files():
        let_go()


def _status(fd: int) -> _quick.Status | None:
    try:
        return _quick.status(fd)
    except OSError:  # as of a filesystem that was shut down after an error
        return None


def _most_descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _most_files() -> int:
    return min(_MOST_FILES, _most_descriptors() // 4)


def _after_fork() -> None:
    """Leave the files to the parent; no thread of it holds the new lock."""
    global _lock
    _lock = threading.Lock()
    let_go()


os.register_at_fork(after_in_child=_after_fork)
