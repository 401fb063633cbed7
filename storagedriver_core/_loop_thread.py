"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, ParamSpec, TypeVar

from storagedriver_core._errors import ClosedError

P = ParamSpec("P")
T = TypeVar("T")

_MOST_ENTRIES = 512
_PATIENCE = 1.0
"""Seconds that an interrupted call waits for its operation to end."""
MOST_SECONDS_OF_A_WAIT = 0.5
"""An interrupt that comes in the instant in which a wait begins does not end it: Python looks for
one before and after. So who waits begins anew so often."""


class LoopThread:
    """Runs coroutines for any number of threads, from `start` to `stop`.

    Blocking on an event loop inside another one would stop that one, and a forked child has the
    loop but not its thread: both are a `ClosedError` at once.

    Args:
        subject: What messages call that whose operations run here.
        instead: What stands for it where an event loop runs.
    """

    def __init__(self, subject: str = "storage", instead: str = "Storage") -> None:
        self._subject = subject
        self._instead = instead
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._calls: set[asyncio.Task[Any]] = set()
        self._closings: set[asyncio.Task[None]] = set()

    def __del__(self) -> None:
        loop = self._loop
        if loop is not None and self._process == os.getpid():
            loop.call_soon_threadsafe(self._stopped.set)
            warnings.warn(
                f"a blocking {self._subject} was never closed", ResourceWarning, stacklevel=1
            )

    @property
    def is_running(self) -> bool:
        """Whether it was started, by this process, and not stopped."""
        return self._loop is not None and self._process == os.getpid()

    def start(self) -> None:
        """Start the thread.

        Raises:
            ClosedError: It runs already, or an event loop runs in this thread.
        """
        if self._loop is not None:
            self.require()
            raise ClosedError(f"the {self._subject} is already open")
        self._refuse_running_loop()
        started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._stopped = asyncio.Event()
        self._process = os.getpid()
        self._thread = threading.Thread(
            target=_serve, args=(started, self._stopped), name="storagedriver-loop", daemon=True
        )
        self._thread.start()
        self._loop = started.result()

    def run(
        self,
        method: Callable[P, Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a coroutine and wait for what it returns or raises.

        An interrupt (Ctrl-C) cancels it, and waits a short time for its end.
        """
        return self.run_beside(_nothing, method, *args, **kwargs)

    def run_beside(
        self,
        beside: Callable[[concurrent.futures.Future[T]], object],
        method: Callable[P, Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a coroutine as `run` does, and `beside` in this thread meanwhile.

        Args:
            beside: What the coroutine needs of this thread. It is called with the coroutine's
                future, and returns when that is done, or before; what it raises cancels the
                coroutine.
            method: Makes the coroutine.
            args: For `method`.
            kwargs: For `method`.
        """
        self.require()
        ended = threading.Event()

        async def call() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._calls.add(task)
            try:
                return await method(*args, **kwargs)
            finally:
                self._calls.discard(task)
                ended.set()

        future = self._submit(call)
        try:
            beside(future)
            return _result(future)
        except concurrent.futures.CancelledError:
            raise ClosedError(f"the {self._subject} was closed meanwhile") from None
        except BaseException:
            if not future.done():
                future.cancel()
                ended.wait(_PATIENCE)
            raise

    def iterate(
        self,
        make: Callable[[], AsyncGenerator[T, None]],
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> LoopIterator[T]:
        """Give what an asynchronous generator gives.

        Args:
            make: Makes it, on the loop.
            around: Gives what each wait for it is enclosed in.
        """

        async def made() -> AsyncGenerator[T, None]:
            return make()

        with around():
            return LoopIterator(self, self.run(made), around)

    def close_soon(self, entries: AsyncGenerator[Any, None]) -> None:
        """Close a generator without waiting: the garbage collector may call, in any thread."""
        loop = self._loop
        if loop is not None and self._process == os.getpid():
            with suppress(RuntimeError):  # stopped meanwhile, which closes generators as well
                loop.call_soon_threadsafe(self._close_here, entries)

    def stop(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what still runs, run `close`, and end the thread. Idempotent.

        An interrupt (Ctrl-C) ends the waiting for all that, which then ends with the process.
        """
        if not self.is_running:
            return
        self._refuse_running_loop()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        is_waited_for = True
        try:
            _result(asyncio.run_coroutine_threadsafe(self._finish(close), loop))
        except BaseException as error:
            is_waited_for = isinstance(error, Exception)
            raise
        finally:
            loop.call_soon_threadsafe(self._stopped.set)
            if is_waited_for:
                self._thread.join()

    def require(self) -> None:
        """Raise `ClosedError` where a call would not work, or never end."""
        if self._loop is None:
            state = "not open: use 'with'" if self._thread is None else "closed"
            raise ClosedError(f"the {self._subject} is {state}")
        # Before any lock: in a forked child another thread of the parent may hold it for ever.
        if self._process != os.getpid():
            raise ClosedError(
                f"the {self._subject} was opened by another process: "
                "make one after the fork, in each process"
            )
        self._refuse_running_loop()

    def _submit(self, call: Callable[[], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        # Under the lock, so that nothing is submitted to a loop that is about to stop.
        with self._lock:
            if self._loop is None:
                raise ClosedError(f"the {self._subject} was closed meanwhile")
            return asyncio.run_coroutine_threadsafe(call(), self._loop)

    async def _finish(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        for task in self._calls:
            task.cancel()
        while running := self._calls | self._closings:
            await asyncio.wait(running)
        await close()

    def _refuse_running_loop(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise ClosedError(f"a blocking call inside a running event loop: use {self._instead} there")

    def _close_here(self, entries: AsyncGenerator[Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_close(entries))
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)


class LoopIterator(Iterator[T]):
    """Gives what an asynchronous generator on a `LoopThread` gives. One thread at a time uses it.

    One that is dropped half-way lets go of what it holds a moment later. `contextlib.closing`
    around it waits for that.
    """

    def __init__(
        self,
        thread: LoopThread,
        entries: AsyncGenerator[T, None],
        around: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._thread = thread
        self._entries = entries
        self._around = around
        self._taken: Iterator[T] = iter(())
        self._error: Exception | None = None
        self._is_over = False
        # A hop between threads costs as much as many entries, so they come in growing batches; not
        # more than as many again as were asked for, since each page may be a request.
        self._count = 1

    def __del__(self) -> None:
        if not self._is_over:
            self._thread.close_soon(self._entries)

    def __next__(self) -> T:
        for entry in self._taken:
            return entry
        if not self._is_over:
            self._fetch()
            return next(self)
        error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """End it, and wait until it has let go of what it holds. Idempotent."""
        self._taken, self._error = iter(()), None
        if not self._is_over:
            self._is_over = True
            if self._thread.is_running:
                with self._around():
                    self._thread.run(_close, self._entries)

    def _fetch(self) -> None:
        with self._around():
            taken, self._error = self._thread.run(_take, self._entries, self._count)
        self._taken = iter(taken)
        self._is_over = len(taken) < self._count
        self._count = min(2 * self._count, _MOST_ENTRIES)


def _result(future: concurrent.futures.Future[T]) -> T:
    """Wait for a result."""
    while True:
        try:
            return future.result(MOST_SECONDS_OF_A_WAIT)
        except TimeoutError:
            if future.done():
                return future.result()  # it may be the coroutine's own


def _nothing(future: concurrent.futures.Future[Any]) -> None:
    pass


async def _take(entries: AsyncGenerator[T, None], count: int) -> tuple[list[T], Exception | None]:
    """Take up to `count` entries, and the error that stopped it; fewer only at the end."""
    taken: list[T] = []
    try:
        async for entry in entries:
            taken.append(entry)
            if len(taken) == count:
                break
    except Exception as error:
        return taken, error
    return taken, None


async def _close(entries: AsyncGenerator[Any, None]) -> None:
    with suppress(RuntimeError):  # an interrupted step still runs, and ends it
        await entries.aclose()


def _serve(
    started: concurrent.futures.Future[asyncio.AbstractEventLoop], stopped: asyncio.Event
) -> None:
    """Run a loop until `stopped`. Knows no `LoopThread`, so that a lost one can be collected."""

    async def main() -> None:
        started.set_result(asyncio.get_running_loop())
        await stopped.wait()

    asyncio.run(main())
