"""What several groups of cases use: drivers that watch or disturb, and short forms."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from storagedriver_core import (
    Buffer,
    Conditions,
    DriverMiddleware,
    FileInfo,
    Part,
    PutOptions,
    StorageDriver,
    Upload,
    load_plugins,
)

T = TypeVar("T")


class Recorder(DriverMiddleware):
    """Notes what reaches the driver: nothing may, where a call has to be refused before.

    Attributes:
        calls: Names of the driver's methods, in order; each step of a listing or reader is one.
        object_bytes: Bytes of objects that passed, both ways.
        open_listings: Listings that have begun, and neither ended nor were closed.
    """

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.calls: list[str] = []
        self.object_bytes = 0
        self.open_listings = 0

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """Note the call, then make it."""
        self.calls.append(operation)
        result = await call()
        if isinstance(result, bytes):
            self.object_bytes += len(result)
        return result

    async def around_pages(
        self, operation: str, path: str, pages: AsyncGenerator[T, None]
    ) -> AsyncGenerator[T, None]:
        """Note that the listing is open."""
        self.open_listings += 1
        steps = super().around_pages(operation, path, pages)
        try:
            async for page in steps:
                yield page
        finally:
            await steps.aclose()
            self.open_listings -= 1

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        """Count the bytes."""
        self.object_bytes += memoryview(data).nbytes
        return await super().put_content(path, data, options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Count the bytes."""
        self.object_bytes += sum(memoryview(chunk).nbytes for chunk in data)
        return await super().put_part(upload, number, offset, data)


class Disturbed(DriverMiddleware):
    """Makes every call through `disturb(operation, path, call)`, which may fail or wait."""

    def __init__(
        self,
        driver: StorageDriver,
        disturb: Callable[[str, str, Callable[[], Awaitable[Any]]], Awaitable[Any]],
    ) -> None:
        super().__init__(driver)
        self._disturb = disturb

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """Let the case decide."""
        result: T = await self._disturb(operation, path, call)
        return result


class OpenAlready(DriverMiddleware):
    """Around a driver that the case opens and closes: neither is bound to a time."""

    async def open(self) -> None:
        """Nothing is left to do."""

    async def aclose(self) -> None:
        """The case does it."""


def conditions_of(info: FileInfo, other_etag: str) -> tuple[list[Conditions], list[Conditions]]:
    """Give conditions that hold for an object, and conditions that do not."""
    assert info.mod_time is not None
    earlier = info.mod_time - timedelta(hours=1)
    holding = [
        Conditions(if_match=info.etag),
        Conditions(if_none_match=other_etag),
        Conditions(if_modified_since=earlier),
        Conditions(if_unmodified_since=info.mod_time),
        Conditions(if_match=info.etag, if_none_match=other_etag),
    ]
    failing = [
        Conditions(if_match=other_etag),
        Conditions(if_none_match=info.etag),
        Conditions(if_modified_since=info.mod_time),
        Conditions(if_unmodified_since=earlier),
    ]
    return holding, failing


async def names(listing: AsyncIterable[FileInfo]) -> list[str]:
    """Give the paths of a listing as they come, a directory's with a trailing slash.

    Their sorted order is the one that `ordered_walk` promises.
    """
    return [f"{info.path}/" if info.is_dir else info.path async for info in listing]


class TracedMemory:
    """Watches what Python holds while a `with` block lasts.

    Attributes:
        peak: Most bytes at once, of those that the block itself came to hold; known at its end.
    """

    peak: int

    def __enter__(self) -> TracedMemory:
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def with_middleware(driver: StorageDriver, name: str, **parameters: Any) -> StorageDriver:
    """Put an installed middleware around a driver."""
    plugins = load_plugins()
    spec = plugins.middleware(name)
    wrapped: StorageDriver = plugins.load_factory(spec)(driver, spec.parameters(**parameters))
    return wrapped
