"""What the parts of the portable layer share: one driver, as configured and opened."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any

from storagedriver_core._driver import StorageDriver
from storagedriver_core._errors import (
    ClosedError,
    ConfigurationError,
    StorageDriverError,
    UnsupportedMethodError,
)
from storagedriver_core._hash_queue import HashRoom
from storagedriver_core._paths import path_checker
from storagedriver_core._types import OperationEvent

PARTS_IN_FLIGHT = 4

Observer = Callable[[OperationEvent], None]


class Context:
    """A driver with its narrowed capabilities, its worker threads and its observers.

    Attributes:
        driver: The driver.
        name: The driver's name.
        capabilities: As narrowed.
        check: Raises `InvalidPathError` for a path that the driver cannot store.
        part_size: Bytes of a part, where the store's limits allow.
        observe: Called with each finished operation; None if nobody listens.
        locate: Says of an error with a key where that was given; None if nobody knows.
        hash_room: How much of all uploads may wait to be hashed.
    """

    def __init__(
        self,
        driver: StorageDriver,
        narrow: Mapping[str, Any],
        part_size: int,
        observers: Sequence[Observer],
    ) -> None:
        self.driver = driver
        self.name = driver.name
        self._narrow = narrow
        self._declare()
        self.part_size = part_size
        self.observe: Observer | None = None
        if observers:
            self.observe = lambda event: _tell(observers, event)
        self.locate: Callable[[ConfigurationError], ConfigurationError] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._workers: ThreadPoolExecutor | None = None
        self.hash_room = HashRoom()

    @property
    def is_open(self) -> bool:
        """Whether the driver is open."""
        return self._loop is not None

    @property
    def workers(self) -> ThreadPoolExecutor:
        """Threads for hashing and for bodies that block; made at the first use."""
        if self._workers is None:
            self._workers = ThreadPoolExecutor(4, thread_name_prefix="storagedriver-worker")
        return self._workers

    def opened(self) -> None:
        """Bind to the running event loop and this process; see what the open driver declares.

        Raises:
            ConfigurationError: A capability that is narrowed would be widened.
        """
        self._declare()
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()

    def _declare(self) -> None:
        self.capabilities = self.driver.capabilities.narrow(self._narrow)
        self.check = path_checker(self.capabilities)

    def closed(self) -> None:
        """Unbind, and let idle threads end."""
        self._loop = None
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown(wait=False)

    def require(self, capability: str) -> None:
        """Raise `UnsupportedMethodError` unless the capability is declared."""
        if not getattr(self.capabilities, capability):
            raise UnsupportedMethodError(capability=capability)

    def require_open(self) -> None:
        """Raise `ClosedError` unless open, in this process, on this loop."""
        # A forked child has no running loop of its parent's, and so comes here as well.
        if self._loop is not asyncio.get_running_loop():
            if self._loop is None:
                raise ClosedError("the storage is not open: use 'async with storage'")
            # The child has none of the threads that work is waiting for.
            if self._process != os.getpid():
                raise ClosedError("the storage was opened by another process")
            if not self.capabilities.any_event_loop:
                raise ClosedError("the storage was opened by another event loop")

    def observe_lost(self, event: OperationEvent) -> None:
        """Tell, on the loop, of a stream that the garbage collector found, on whatever thread."""
        if self.observe is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self.observe, event)

    def operation(self, name: str, path: str) -> Operation:
        """Enclose one operation: it needs an open storage, stamps errors, and is observed."""
        return Operation(self, name, path)


class Operation:
    """Stamps what an operation raises and tells the observers that it is over.

    Attributes:
        path: Path for the stamp and the event.
        size: Bytes moved, for the event.
    """

    __slots__ = ("_context", "_name", "_started", "path", "size")

    def __init__(self, context: Context, name: str, path: str) -> None:
        self._context = context
        self._name = name
        self.path = path
        self.size = 0

    def __enter__(self) -> Operation:
        if self._context.observe is not None:
            self._started = time.monotonic()
        try:
            self._context.require_open()
        except ClosedError as error:
            error.stamp(self._context.name, self._name, self.path)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, StorageDriverError):
            error.stamp(self._context.name, self._name, self.path)
        if self._context.observe is not None:
            seconds = time.monotonic() - self._started
            event = OperationEvent(
                self._context.name, self._name, self.path, seconds, self.size, error
            )
            self._context.observe(event)


def _tell(observers: Sequence[Observer], event: OperationEvent) -> None:
    for observer in observers:
        observer(event)
