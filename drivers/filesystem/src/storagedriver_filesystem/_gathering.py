"""Gathering small puts that come at once to batches, each for one thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from storagedriver_core import ClosedError, FileInfo
from storagedriver_filesystem._putting import Put
from storagedriver_filesystem._threads import PATIENCE_SECONDS, Threads

# What a batch should take, its syncs left out: long against handing it to a thread, short against
# what callers notice. On a file server a single put takes longer, and then each has a thread again.
# Syncs do not count. Batches wait for each other's at the disk, so to make them small where they
# take long would make more of them, and each slower: measured with 8 clients beside other load,
# puts that each had a thread took 4 times the processor time, most of it for changes of threads.
_BATCH_SECONDS = 0.004
_FIRST_GUESS_SECONDS = 0.0005
_GROWTH = 1.1
_MAX_PUTS = 64
_LEAST_SECONDS = _BATCH_SECONDS / _MAX_PUTS


class PutQueue:
    """Puts that wait for a thread.

    A batch begins when none is under way, or when enough puts wait for one. So a lone put begins
    at once, and while a batch is under way the next one gathers.

    Args:
        threads: Where batches are written.
        write: Writes a batch, and gives the seconds that this took, syncs left out; blocks. What
            it raises is raised by every put of the batch.
    """

    def __init__(self, threads: Threads, write: Callable[[Sequence[Put]], float]) -> None:
        self._threads = threads
        self._write = write
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._batches = 0
        self._seconds_per_put = _FIRST_GUESS_SECONDS

    def after_fork(self) -> None:
        """Forget, in a child process, what its parent's threads will do."""
        self._lock = threading.Lock()
        self._waiting.clear()
        self._batches = 0

    async def run(self, put: Put) -> FileInfo:
        """Store the object, in a batch with others."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(put, loop)
        with self._lock:
            self._waiting.append(waiting)
        # After the other tasks whose turn it is, which may have a put, too.
        loop.call_soon(self._begin)
        try:
            await waiting.ended
        except asyncio.CancelledError:
            await self._settle(waiting)
            raise
        return put.result()

    async def _settle(self, waiting: _Waiting) -> None:
        """Wait, in bounded time, until the put is over: published or not."""
        waiting.put.stop.request()
        with self._lock, suppress(ValueError):
            self._waiting.remove(waiting)
            return
        if not waiting.is_over:
            waiting.ended = waiting.loop.create_future()
            await asyncio.wait({waiting.ended}, timeout=PATIENCE_SECONDS)

    def _begin(self) -> None:
        while batch := self._next_batch():
            try:
                self._threads.submit(self._work, batch)
            except ClosedError:
                # Where no more threads can be had, one that is there may get to it all the same.
                self._refuse(self._claim(batch), ClosedError("the driver is not open"))

    def _claim(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Empty a batch: only who gets its puts does anything about them."""
        with self._lock:
            puts, batch[:] = batch[:], []
            return puts

    def _refuse(self, batch: list[_Waiting], error: Exception) -> None:
        for waiting in batch:
            waiting.put.error = error
        if batch:
            self._end(batch, self._seconds_per_put * len(batch))

    def _next_batch(self) -> list[_Waiting]:
        limit = max(1, int(_BATCH_SECONDS / self._seconds_per_put))
        with self._lock:
            if not self._waiting or (self._batches and len(self._waiting) < limit):
                return []
            self._batches += 1
            return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def _work(self, batch: list[_Waiting]) -> None:
        """Write batches, as long as there is one. Runs in a thread."""
        while puts := self._claim(batch):
            try:
                seconds = self._write([waiting.put for waiting in puts])
            except Exception as error:
                # A fault of this driver's. Left here, it would keep all later puts waiting.
                self._refuse(puts, error)
            else:
                self._end(puts, seconds)
            batch = self._next_batch()

    def _end(self, batch: list[_Waiting], seconds: float) -> None:
        with self._lock:
            self._batches -= 1
            # The least is what it takes; more was somebody else's load, or threads that wait for
            # each other, of which larger batches are the cure. A slow store shows in time.
            slower = self._seconds_per_put * _GROWTH
            self._seconds_per_put = max(min(seconds / len(batch), slower), _LEAST_SECONDS)
        loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        for waiting in batch:
            loops.setdefault(waiting.loop, []).append(waiting)
        for loop, ended in loops.items():
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_tell, ended)


class _Waiting:
    """A put and the task that waits for it; all but the put belongs to the loop's thread."""

    __slots__ = ("ended", "is_over", "loop", "put")

    def __init__(self, put: Put, loop: asyncio.AbstractEventLoop) -> None:
        self.put = put
        self.loop = loop
        self.ended: asyncio.Future[None] = loop.create_future()
        self.is_over = False


def _tell(ended: Sequence[_Waiting]) -> None:
    for waiting in ended:
        waiting.is_over = True
        if not waiting.ended.done():
            waiting.ended.set_result(None)
