"""Makes an OpenTelemetry span of each call of the driver.

Only the API is needed; the process's own program says where spans go. Without a provider of them,
or where a trace is not sampled, a call costs next to nothing.
"""

from __future__ import annotations

import asyncio
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
    from opentelemetry.trace import Span

T = TypeVar("T")


class TracingParameters(BaseModel):
    """Parameters of `tracing`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: bool = Field(True, description="Whether spans name the path.")


class TracingMiddleware(DriverMiddleware):
    """Makes a span `<driver> <operation>` of each call, page and part, and of each reader's life.

    Spans of a call's own requests become its children. A trace that was not sampled stays so, and
    is not looked at further. Outside of `retry` a span is what a caller waits for, inside of it
    each attempt.

    Raises:
        ConfigurationError: `opentelemetry-api` is not installed.
    """

    def __init__(self, driver: StorageDriver, parameters: TracingParameters) -> None:
        super().__init__(driver)
        import_extra("opentelemetry.trace", "tracing")
        from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span, get_tracer

        self._parameters = parameters
        self._tracer = get_tracer("storagedriver_core")
        self._current_span = get_current_span
        self._kind = SpanKind.CLIENT
        self._failed = Status(StatusCode.ERROR)

    def __reduce__(self) -> tuple[object, ...]:
        return (TracingMiddleware, (self.driver, self._parameters))

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._traced(operation, path, call)

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return await self._traced(
            "put_content",
            path,
            lambda: self.driver.put_content(path, data, options),
            lambda info: info.size,
        )

    async def get_content(self, path: str) -> bytes:
        return await self._traced(
            "get_content", path, lambda: self.driver.get_content(path), lambda data: len(data)
        )

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await self._traced(
            "put_part",
            upload.path,
            lambda: self.driver.put_part(upload, number, offset, data),
            lambda part: part.size,
        )

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await self._traced(
            "open_reader", path, lambda: self.driver.open_reader(path, options)
        )
        span = self._begin("read", path)
        return stream if span is None else _TracedStream(self, stream, span)

    async def _traced(
        self,
        operation: str,
        path: str,
        call: Callable[[], Awaitable[T]],
        size_of: Callable[[T], int] | None = None,
    ) -> T:
        span = self._begin(operation, path)
        if span is None:
            return await call()
        from opentelemetry.trace import use_span

        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                result = await call()
            except StorageDriverError as error:
                self.note(span, error)
                raise
            if size_of is not None:
                span.set_attribute("storagedriver.bytes", size_of(result))
            return result

    def _begin(self, operation: str, path: str) -> Span | None:
        """Begin a span; None where it is not recorded."""
        parent = self._current_span().get_span_context()
        if parent.is_valid and not parent.trace_flags.sampled:
            return None
        span = self._tracer.start_span(f"{self.name} {operation}", kind=self._kind)
        if not span.is_recording():
            return None
        span.set_attribute("storagedriver.driver", self.name)
        span.set_attribute("storagedriver.operation", operation)
        if path and self._parameters.paths:
            span.set_attribute("storagedriver.path", path)
        return span

    def note(self, span: Span, error: StorageDriverError) -> None:
        """Say in a span what went wrong. What is not there is an answer, and no failure."""
        span.set_attribute("error.type", type(error).__name__)
        if error.temporary:
            span.set_status(self._failed)


class _TracedStream(ByteStream):
    """A stream whose span ends when it does, also if nobody closes it."""

    def __init__(self, middleware: TracingMiddleware, stream: ByteStream, span: Span) -> None:
        self.info = stream.info
        self._middleware = middleware
        self._stream = stream
        self._span: Span | None = span
        self._size = 0
        self._loop = asyncio.get_running_loop()

    def __del__(self) -> None:
        if self._span is not None:
            # A span's end takes locks, in the middle of which the garbage collector may have come.
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_end, self._span, self._size)

    async def next_chunk(self) -> bytes:
        self._stream.chunk_size = self.chunk_size
        try:
            chunk = await self._stream.next_chunk()
        except StorageDriverError as error:
            if self._span is not None:
                self._middleware.note(self._span, error)
            raise
        self._size += len(chunk)
        return chunk

    async def aclose(self) -> None:
        span, self._span = self._span, None
        if span is not None:
            _end(span, self._size)
        await self._stream.aclose()


def _end(span: Span, size: int) -> None:
    span.set_attribute("storagedriver.bytes", size)
    span.end()
