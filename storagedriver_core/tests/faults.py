"""Drivers that do wrong on purpose, for the tests of middleware."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from storagedriver_core import (
    Buffer,
    ByteStream,
    Capabilities,
    Conditions,
    FileInfo,
    ListOptions,
    PutOptions,
    ReadOptions,
    StorageDriver,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_core.middleware._wrapper import DriverMiddleware

T = TypeVar("T")


class Faults(DriverMiddleware):
    """Fails calls as planned, before or after the wrapped driver has done them.

    Attributes:
        calls: The operations that were called, in order.
    """

    def __init__(self, driver: StorageDriver, *, narrow: Mapping[str, Any] | None = None) -> None:
        super().__init__(driver, narrow=narrow)
        self.calls: list[str] = []
        self._plans: dict[str, deque[tuple[str, StorageDriverError | None]]] = defaultdict(deque)

    def fail(
        self,
        operation: str,
        error: StorageDriverError | None = None,
        *,
        when: Literal["before", "after"] = "before",
        times: int = 1,
    ) -> None:
        """Fail the next calls of `operation`; `after` stands for a reply that is lost."""
        if error is None:
            error = UnavailableError(outcome="unknown" if when == "after" else "none")
        self._plans[operation].extend([(when, error)] * times)

    def succeed(self, operation: str) -> None:
        """Let the next call of `operation` that is not planned yet through."""
        self._plans[operation].append(("", None))

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(operation)
        plan = self._plans[operation]
        when, error = plan.popleft() if plan else ("", None)
        if when == "before" and error is not None:
            raise error
        result = await call()
        if error is not None:
            raise error
        return result


class Gate(DriverMiddleware):
    """Holds calls of some operations until it is opened, and counts how many are inside.

    Attributes:
        inside: Calls that are inside now.
        most: The most that were inside at once.
        entered: Set when a call comes in.
        gate: Calls wait for it. Set from the start.
    """

    def __init__(self, driver: StorageDriver, *operations: str) -> None:
        super().__init__(driver)
        self.inside = self.most = 0
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self._operations = operations

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation not in self._operations:
            return await call()
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        try:
            await self.gate.wait()
            return await call()
        finally:
            self.inside -= 1


class Blank(StorageDriver):
    """A driver that can be pickled and that knows every path."""

    name = "blank"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(any_event_loop=True)

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        return FileInfo(path)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        raise NotImplementedError

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        raise NotImplementedError

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        raise NotImplementedError

    async def delete(self, path: str) -> None:
        raise NotImplementedError


async def settle() -> None:
    """Let every task that can go on do so, until all of them wait."""
    for _ in range(50):
        await asyncio.sleep(0)
