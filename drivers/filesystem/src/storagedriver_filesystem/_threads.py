"""Blocking calls in threads of the driver's own, also when their caller is cancelled."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from storagedriver_core import ClosedError, StorageDriverError
from storagedriver_filesystem._errors import translating

T = TypeVar("T")

# How long a cancelled caller waits for the system call that it is in: long for a disk, short for
# whoever cancelled.
PATIENCE_SECONDS = 1.0
_SHUTDOWN_SECONDS = 10.0


class Stop:
    """Tells a long blocking call, between two of its steps, that nobody waits for it any more."""

    __slots__ = ("_requested",)

    def __init__(self) -> None:
        self._requested = False

    def request(self) -> None:
        """Ask for the end."""
        self._requested = True

    def check(self) -> None:
        """End the call if that was asked for.

        Raises:
            StorageDriverError: Seen by nobody: the caller has its `CancelledError`.
        """
        if self._requested:
            raise StorageDriverError("cancelled")


class Threads:
    """A pool of threads that grows as needed, from `open` to `aclose`; used from any event loop."""

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._executor: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Accept calls from now on."""
        self._executor = ThreadPoolExecutor(
            self._max_threads, thread_name_prefix="storagedriver-filesystem"
        )

    def after_fork(self) -> None:
        """Begin anew in a child process, which has none of its parent's threads."""
        if self._executor is not None:
            self.open()

    async def aclose(self) -> None:
        """Wait until the threads have ended, in bounded time. Idempotent."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        ended = Future[None]()

        def shut_down() -> None:
            executor.shutdown()
            ended.set_result(None)

        closer = threading.Thread(target=shut_down, daemon=True)
        closer.start()
        await asyncio.wait({asyncio.wrap_future(ended)}, timeout=_SHUTDOWN_SECONDS)
        if ended.done():
            closer.join()  # it has nothing left to do: microseconds

    def share(
        self, function: Callable[[T], object], items: Sequence[T], *, max_threads: int
    ) -> None:
        """Call the function for each item, from this thread and from others that are free.

        This one goes on until no item is left, so it does not matter if none is free.
        """
        left = deque(items)

        def work() -> None:
            while left:
                with suppress(IndexError):  # another was faster
                    function(left.popleft())

        helpers: list[Future[None]] = []
        with suppress(ClosedError):
            helpers.extend(self.submit(work) for _ in items[1:max_threads])
        work()
        for helper in helpers:
            # One that has not begun has nothing to do any more.
            if not helper.cancel():
                helper.result()

    async def run(
        self,
        function: Callable[..., T],
        *args: Any,
        writing: bool = False,
        stop: Stop | None = None,
        dispose: Callable[[T], object] | None = None,
    ) -> T:
        """Run `function(*args)` in a thread, and translate its errors.

        When the caller is cancelled, a call that has not begun is dropped. One that has is waited
        for, in bounded time: what it does is then over before the cancellation is seen.

        Args:
            function: What blocks.
            args: Its arguments.
            writing: Whether it is to change something, for the errors.
            stop: Told of the cancellation.
            dispose: Given the result that nobody waits for any more; may block.
        """
        call = self.submit(_translated, function, args, writing)
        try:
            return await asyncio.wrap_future(call)
        except asyncio.CancelledError:
            if not call.cancelled():
                await self._settle(call, stop, dispose)
            raise

    async def finish(self, function: Callable[[], object]) -> None:
        """Run what releases something: it runs to its end, whatever becomes of the caller."""
        await asyncio.wait({asyncio.wrap_future(self.submit(function))})

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run `function(*args)` in a thread.

        Raises:
            ClosedError: The threads have ended, or not begun.
        """
        try:
            if self._executor is not None:
                return self._executor.submit(function, *args)
        except RuntimeError:  # shut down in this very moment, or by the interpreter's exit
            pass
        raise ClosedError("the driver is not open")

    def close_later(self, fd: int) -> None:
        """Close a descriptor without waiting for it; at once where the threads have ended."""
        try:
            self.submit(os.close, fd)
        except ClosedError:
            os.close(fd)

    @staticmethod
    async def _settle(
        call: Future[T], stop: Stop | None, dispose: Callable[[T], object] | None
    ) -> None:
        if stop is not None:
            stop.request()
        try:
            ended = asyncio.wrap_future(call)
            ended.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait({ended}, timeout=PATIENCE_SECONDS)
        finally:
            if dispose is not None:
                call.add_done_callback(lambda done: _dispose(done, dispose))


def _translated(function: Callable[..., T], args: tuple[Any, ...], writing: bool) -> T:
    with translating(writing=writing):
        return function(*args)


def _dispose(call: Future[T], dispose: Callable[[T], object]) -> None:
    if not call.cancelled() and call.exception() is None:
        with suppress(OSError):
            dispose(call.result())
