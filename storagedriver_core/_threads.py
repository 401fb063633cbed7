"""Blocking calls in a bounded pool of threads, for callers that may be cancelled at any time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

R = TypeVar("R")
T = TypeVar("T")

logger = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds that a cancelled call is waited for: a thread cannot be stopped."""


class Threads:
    """A pool of at most `most` threads, made at its first use. One event loop uses it at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[Future[Any]] = set()
        self._asides: deque[Callable[[], None]] = deque()
        self._asides_running: set[asyncio.Task[None]] = set()

    def __reduce__(self) -> tuple[object, ...]:
        # Threads belong to this process.
        return (Threads, (self._most,))

    async def run(self, call: Callable[[], T], *, undo: Callable[[T], object] | None = None) -> T:
        """Run `call` in a thread.

        A cancellation waits a short time for a call that has begun. Its result, then or whenever
        it comes, is given to `undo`, in a thread.
        """
        await self._finish_asides()
        return await self._run(call, undo)

    def aside(self, call: Callable[[], None]) -> None:
        """Run `call` soon, and before whatever is run later; return at once.

        May be called in any thread, and by the garbage collector in the middle of anything: so it
        takes no lock.
        """
        self._asides.append(call)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed; the next one will do it
                self._loop.call_soon_threadsafe(self._start_asides)

    def leave(self, call: Callable[[], object]) -> None:
        """Run `call` when a thread is free. Nobody waits for it, whatever it runs into."""
        if self._pool is not None:
            self._pool.submit(call)

    async def shutdown(self) -> None:
        """End the threads; one that is stuck is left behind. The next use makes new ones."""
        await self._finish_asides()
        pool, self._pool, self._loop = self._pool, None, None
        if pool is not None:
            # Without work they end at once.
            pool.shutdown(wait=not self._running)

    async def _run(self, call: Callable[[], T], undo: Callable[[T], object] | None) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, thread_name_prefix="storagedriver-blocking")
            self._loop = asyncio.get_running_loop()
        pool = self._pool
        future = pool.submit(call)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        waiter = asyncio.wrap_future(future)
        outcome = asyncio.shield(waiter)
        try:
            return await outcome
        except asyncio.CancelledError:
            for unheard in (waiter, outcome):
                unheard.add_done_callback(_hear)
            if not future.cancel():
                cleaned: Future[None] = Future()
                future.add_done_callback(lambda done: _clean_up(pool, done, undo, cleaned))
                await asyncio.wait({asyncio.wrap_future(cleaned)}, timeout=_PATIENCE)
            raise

    async def _finish_asides(self) -> None:
        if self._asides:
            self._start_asides()
        if self._asides_running:
            await asyncio.wait(tuple(self._asides_running))

    def _start_asides(self) -> None:
        while self._asides:
            task = asyncio.create_task(self._run(self._asides.popleft(), None))
            self._asides_running.add(task)
            task.add_done_callback(self._aside_ended)

    def _aside_ended(self, task: asyncio.Task[None]) -> None:
        self._asides_running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a call that nobody waits for failed: %s", error)


class Held(Generic[T]):
    """An object that one thread at a time uses, and that is closed after its last use."""

    def __init__(self, threads: Threads, held: T, close: Callable[[T], object]) -> None:
        self._threads = threads
        self._held = held
        self._close = close
        self._is_closed = self._has_closed = False
        self._lock = threading.Lock()

    async def use(self, call: Callable[[T], R]) -> R:
        """Run `call` with the object in a thread."""
        return await self._threads.run(lambda: self._alone(call))

    async def aclose(self) -> None:
        """Close it. Idempotent; does not wait for a use that is stuck."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._lock.locked():
            self._threads.leave(self._close_once)
            return
        try:
            await self._threads.run(self._close_once)
        except asyncio.CancelledError:
            # While all threads were busy it had not begun, and then it was dropped.
            self._threads.leave(self._close_once)
            raise

    def _close_once(self) -> None:
        with self._lock:
            if not self._has_closed:
                self._has_closed = True
                self._close(self._held)

    def _alone(self, call: Callable[[T], R]) -> R:
        with self._lock:
            return call(self._held)


def _hear(done: asyncio.Future[Any]) -> None:
    """Take note of an error that came too late for anybody to handle it."""
    if not done.cancelled():
        done.exception()


def _clean_up(
    pool: ThreadPoolExecutor,
    done: Future[T],
    undo: Callable[[T], object] | None,
    cleaned: Future[None],
) -> None:
    """Give the result of `done` to `undo`, in a thread, and then say so by `cleaned`."""

    def clean() -> None:
        try:
            if undo is not None and done.exception() is None:
                undo(done.result())
        finally:
            cleaned.set_result(None)

    try:
        pool.submit(clean)
    except RuntimeError:  # shut down, so that this is one of its last threads
        clean()
