"""Small files that were looked at a moment ago, and are still open.

Whoever looks at one again asks the open file alone whether it is as it was: a file that was
unlinked, or that another one was renamed over, has lost its link, and one that was written, renamed
or given other permissions has another time of change. That is one call that waits for nobody,
instead of the whole way to the file.

What it does not tell is that a directory on the way was renamed, mounted over or given other
permissions. So that counts for a tenth of a second, and then the way is gone again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from storagedriver_filesystem import _quick

_MOST_FILES = 64
"""Few beside the 1,024 descriptors that a process may have by custom."""

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
    """

    fd: int
    status: _quick.Status
    content: bytes | None
    until: float

    def is_known(self) -> bool:
        """Tell whether the file is known to be where and as it was."""
        return time.monotonic() < self.until and _status(self.fd) == self.status


class HeldFiles:
    """The files that a driver looked at last, by contract path; for any thread.

    Args:
        close_later: Closes a descriptor in a thread.
    """

    def __init__(self, close_later: Callable[[int], object]) -> None:
        self._close_later = close_later
        self._files: OrderedDict[str, _Held] = OrderedDict()
        # A number that was closed may at once name another file: nobody closes while another asks.
        self._lock = threading.Lock()
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
        if age < _SETTLED_SECONDS or size > _MOST_BYTES:
            _quick.close(fd)
            return
        held = _Held(fd, status, content, time.monotonic() + _SECONDS)
        with self._lock:
            before = self._files.pop(path, None)
            self._files[path] = held
            while len(self._files) > (0 if self._is_closed else _MOST_FILES):
                self._close(self._files.popitem(last=False)[1])
        if before is not None:
            self._close(before)

    def close(self) -> None:
        """Close all, and keep none any more."""
        with self._lock:
            self._is_closed = True
            while self._files:
                self._close(self._files.popitem()[1])

    def _find(self, path: str) -> _Held | None:
        with self._lock:
            held = self._files.get(path)
            if held is None or held.is_known():
                return held
            del self._files[path]
        self._close(held)
        return None

    def _close(self, held: _Held) -> None:
        """Close a file; in a thread if it has no name any more, for then that frees it."""
        now = _status(held.fd)
        if now is not None and now[0]:
            _quick.close(held.fd)
        else:
            self._close_later(held.fd)


def _status(fd: int) -> _quick.Status | None:
    try:
        return _quick.status(fd)
    except OSError:  # as of a filesystem that was shut down after an error
        return None
