"""Measures each call of the driver, for Prometheus.

What is measured is added to prometheus-client's own registry, whatever then shows it:
`start_http_server`, `generate_latest`, or the registry server's `/metrics`.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import StorageDriverError
from storagedriver_core._types import Buffer, FileInfo, Part, PutOptions, ReadOptions, Upload
from storagedriver_core.middleware._extras import import_extra
from storagedriver_core.middleware._wrapper import DriverMiddleware

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

T = TypeVar("T")

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class MetricsParameters(BaseModel):
    """Parameters of `metrics`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    storage: str = Field(
        "",
        description="What the label `storage` says, for several storages or several places in one "
        "stack; by default the driver's name.",
    )


class _Meters:
    """The metrics of this process, which all storages share."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        by = ["storage", "operation"]
        self.seconds = Histogram(
            "storagedriver_call_seconds",
            "Seconds that calls of a driver took; of `read` the whole life of a reader.",
            by,
            buckets=_SECONDS,
        )
        self.bytes = Counter("storagedriver_call_bytes", "Bytes that calls of a driver moved.", by)
        self.errors = Counter(
            "storagedriver_call_errors", "Calls of a driver that failed.", [*by, "error"]
        )
        self.readers = Gauge(
            "storagedriver_open_readers",
            "Readers of a driver that are open.",
            ["storage"],
            multiprocess_mode="livesum",
        )


@functools.cache
def _meters() -> _Meters:
    return _Meters()


class MetricsMiddleware(DriverMiddleware):
    """Counts calls, their seconds, bytes and errors; and open readers.

    Each call of the contract counts by its name, each page of a listing and each part of an upload
    too. Chunks of a reader are counted together, as `read`, when it is closed or lost. Outside of
    `retry` it measures what callers wait for, inside of it each attempt.

    Raises:
        ConfigurationError: `prometheus_client` is not installed.
    """

    def __init__(self, driver: StorageDriver, parameters: MetricsParameters) -> None:
        super().__init__(driver)
        import_extra("prometheus_client", "metrics")
        self._parameters = parameters
        self._storage = parameters.storage or self.name
        self._readers: Gauge = _meters().readers.labels(self._storage)
        # Finding a series by its labels costs more than adding to it.
        self._seconds: dict[str, Histogram] = {}
        self._bytes: dict[str, Counter] = {}

    def __reduce__(self) -> tuple[object, ...]:
        # Another process measures for itself.
        return (MetricsMiddleware, (self.driver, self._parameters))

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        started = time.perf_counter()
        try:
            return await call()
        except StorageDriverError as error:
            self.failed(operation, error)
            raise
        finally:
            self.took(operation, time.perf_counter() - started)

    async def get_content(self, path: str) -> bytes:
        data = await super().get_content(path)
        self.moved("get_content", len(data))
        return data

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        info = await super().put_content(path, data, options)
        self.moved("put_content", info.size)
        return info

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        part = await super().put_part(upload, number, offset, data)
        self.moved("put_part", part.size)
        return part

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await self.around(
            "open_reader", path, lambda: self.driver.open_reader(path, options)
        )
        return _MeasuredStream(self, stream, self._readers)

    def took(self, operation: str, seconds: float) -> None:
        """Add one call's time."""
        series = self._seconds.get(operation)
        if series is None:
            series = _meters().seconds.labels(self._storage, operation)
            self._seconds[operation] = series
        series.observe(seconds)

    def moved(self, operation: str, size: int) -> None:
        """Add one call's bytes."""
        series = self._bytes.get(operation)
        if series is None:
            series = self._bytes[operation] = _meters().bytes.labels(self._storage, operation)
        series.inc(size)

    def failed(self, operation: str, error: StorageDriverError) -> None:
        """Add one call's error."""
        _meters().errors.labels(self._storage, operation, type(error).__name__).inc()


class _MeasuredStream(ByteStream):
    """A stream whose life and bytes are counted when it ends, also if nobody closes it."""

    def __init__(self, middleware: MetricsMiddleware, stream: ByteStream, readers: Gauge) -> None:
        self.info = stream.info
        self._middleware: MetricsMiddleware | None = middleware
        self._stream = stream
        self._readers = readers
        self._size = 0
        self._started = time.perf_counter()
        self._loop = asyncio.get_running_loop()
        readers.inc()

    def __del__(self) -> None:
        if self._middleware is not None:
            # The garbage collector may have come in the middle of a lock of Prometheus.
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(
                    _ended, self._middleware, self._readers, self._size, self._started
                )

    async def next_chunk(self) -> bytes:
        self._stream.chunk_size = self.chunk_size
        try:
            chunk = await self._stream.next_chunk()
        except StorageDriverError as error:
            if self._middleware is not None:
                self._middleware.failed("read", error)
            raise
        self._size += len(chunk)
        return chunk

    async def aclose(self) -> None:
        middleware, self._middleware = self._middleware, None
        if middleware is not None:
            _ended(middleware, self._readers, self._size, self._started)
        await self._stream.aclose()


def _ended(middleware: MetricsMiddleware, readers: Gauge, size: int, started: float) -> None:
    readers.dec()
    middleware.took("read", time.perf_counter() - started)
    middleware.moved("read", size)
