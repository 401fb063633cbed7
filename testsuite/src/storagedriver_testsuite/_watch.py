"""Seeing what the thread of the event loop does: calls that block, and callbacks that take long."""

from __future__ import annotations

import asyncio
import io
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from unittest import mock

# System calls that return at once, and functions that make none.
_HARMLESS = frozenset(
    {"close", "cpu_count", "fspath", "getpid", "makedev", "register_at_fork", "urandom"}
)
_BLOCKING: dict[str, Callable[[str], bool]] = {
    "posix": lambda name: name not in _HARMLESS,
    "fcntl": lambda name: True,
    "time": lambda name: name == "sleep",
    "_io": lambda name: name in ("open", "open_code"),
}


class BlockingCalls:
    """Notes the blocking calls of this thread while its `with` block lasts.

    What the interpreter calls in C is seen, however the caller came to the function: calls of the
    operating system, files, and sockets that wait.

    Args:
        allowed: Functions whose own calls do not count, by module and qualified name.

    Attributes:
        seen: The calls, each with its place.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = allowed
        self.seen: list[str] = []

    def __enter__(self) -> BlockingCalls:
        self._before = sys.getprofile()
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and _may_block(function) and self._counts(frame):
            self.seen.append(f"{function.__name__} in {frame.f_code.co_filename}:{frame.f_lineno}")

    def _counts(self, frame: FrameType) -> bool:
        place = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
        return place not in self._allowed


def _may_block(function: Any) -> bool:
    blocks = _BLOCKING.get(getattr(function, "__module__", None) or "")
    if blocks is not None:
        return blocks(function.__name__)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, socket.socket):
        return owner.gettimeout() != 0 and function.__name__ in (
            "accept",
            "connect",
            "recv",
            "send",
        )
    # What a file in memory does is work, not waiting.
    return isinstance(owner, io.FileIO | io.BufferedIOBase) and not isinstance(owner, io.BytesIO)


class LongestCallback:
    """The callback of the event loop that took most of the thread's time.

    Attributes:
        seconds: Processor time of the thread: a busy machine does not count.
        name: What was called.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.name = ""


@contextmanager
def longest_callback() -> Iterator[LongestCallback]:
    """Measure each callback of the loops of this thread while the `with` block lasts."""
    longest = LongestCallback()
    thread = threading.get_ident()
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        started = time.thread_time()
        run(handle)
        seconds = time.thread_time() - started
        if threading.get_ident() == thread and seconds > longest.seconds:
            longest.seconds, longest.name = seconds, repr(handle)

    with mock.patch.object(asyncio.Handle, "_run", timed):
        yield longest
