"""Small files that were looked at a moment ago, and are still open.

Whoever looks at one again asks the open file alone whether it is as it was: a file that was
unlinked, or that another one was renamed over, has lost its link, and one that was written, renamed
or given other permissions has another time of change. That is one call that waits for nobody,
instead of the whole way to the file.

What it does not tell is that a directory on the way was renamed or mounted over. So that counts for
a tenth of a second, and then the way is gone again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

from storagedriver_filesystem import _quick

_MOST_FILES = 256
"""Of the 1,024 descriptors that a process may have at least, by custom."""

_MOST_BYTES = 4096
"""Of a file: as long as it is open, its deletion frees nothing."""

_SECONDS = 0.1

_SETTLED_SECONDS = 0.1
"""Since the last change. The kernel's clock for that ticks every few milliseconds, so that two
changes may have the same time."""


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


class HeldFiles:
    """The files that were looked at last, by contract path."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, _Held] = OrderedDict()

    def has(self, path: str) -> bool:
        """Tell whether a file is known to be where it was."""
        return self._find(path) is not None

    def content(self, path: str) -> bytes | None:
        """Give all of a file that is known to be as it was; None if that is not known."""
        held = self._find(path)
        return None if held is None else held.content

    def take(self, path: str, fd: int, status: _quick.Status, content: bytes | None = None) -> None:
        """Take a file that was just opened: it is closed here, now or later."""
        self.drop(path)
        _, _, size, seconds, nanoseconds, _, _ = status
        age = time.time() - seconds - nanoseconds / 1e9
        if age < _SETTLED_SECONDS or size > _MOST_BYTES:
            _quick.close(fd)
            return
        self._files[path] = _Held(fd, status, content, time.monotonic() + _SECONDS)
        if len(self._files) > _MOST_FILES:
            self.drop(next(iter(self._files)))

    def drop(self, path: str) -> None:
        """Close a file if it is held."""
        held = self._files.pop(path, None)
        if held is not None:
            _quick.close(held.fd)

    def clear(self) -> None:
        """Close all."""
        for path in [*self._files]:
            self.drop(path)

    def _find(self, path: str) -> _Held | None:
        held = self._files.get(path)
        if held is None:
            return None
        if time.monotonic() < held.until and _quick.status(held.fd) == held.status:
            return held
        self.drop(path)
        return None
