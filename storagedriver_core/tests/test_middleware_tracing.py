from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, StatusCode, get_current_span
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    DriverMiddleware,
    FileInfo,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    UnavailableError,
)
from storagedriver_core.middleware.tracing import TracingMiddleware, TracingParameters


class Traced:
    """A traced driver, whose spans go to memory, whatever else this process has."""

    def __init__(
        self,
        driver: StorageDriver | None = None,
        sampler: Sampler | None = None,
        *,
        paths: bool = True,
    ) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        parameters = TracingParameters(paths=paths)
        self.driver = TracingMiddleware(driver or InMemoryDriver(), parameters)
        self.tracer = self.driver._tracer = self.provider.get_tracer("test")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def names(self) -> list[str]:
        return [span.name for span in self.spans]


def run(test: Callable[[Traced, Storage], Awaitable[None]], *, paths: bool = True) -> None:
    async def main() -> None:
        traced = Traced(paths=paths)
        async with Storage(traced.driver) as storage:
            await test(traced, storage)

    asyncio.run(main())


def test_call_is_a_span_with_its_path_and_bytes() -> None:
    async def test(traced: Traced, storage: Storage) -> None:
        await storage.put_content("/a", bytes(100))
        (span,) = traced.spans
        assert span.name == "inmemory put_content"
        assert dict(span.attributes or {}) == {
            "storagedriver.driver": "inmemory",
            "storagedriver.operation": "put_content",
            "storagedriver.path": "/a",
            "storagedriver.bytes": 100,
        }
        assert span.status.status_code is StatusCode.UNSET

    run(test)


def test_a_stream_passes_on_what_size_of_chunks_is_wished_for() -> None:
    async def test(traced: Traced, storage: Storage) -> None:
        await storage.put_content("/a", bytes(100))
        async with await storage.reader("/a") as reader:
            reader.set_chunk_size(40)
            assert len(await anext(reader)) == 40
        assert "inmemory open_reader" in traced.names()

    run(test)


def test_paths_are_left_out_if_that_is_wanted() -> None:
    async def test(traced: Traced, storage: Storage) -> None:
        await storage.put_content("/secret", b"")
        assert "/secret" not in str([span.to_json() for span in traced.spans])

    run(test, paths=False)


def test_what_is_not_there_is_no_failure_and_what_is_unavailable_is() -> None:
    class Failing(DriverMiddleware):
        async def stat(self, path: str, conditions: object = None) -> FileInfo:
            raise UnavailableError

    async def main() -> None:
        traced = Traced(Failing(InMemoryDriver()))
        for call in (traced.driver.get_content("/missing"), traced.driver.stat("/a")):
            with pytest.raises((PathNotFoundError, UnavailableError)):
                await call
        missing, failed = traced.spans
        assert (missing.attributes or {})["error.type"] == "PathNotFoundError"
        assert missing.status.status_code is StatusCode.UNSET
        assert (failed.attributes or {})["error.type"] == "UnavailableError"
        assert failed.status.status_code is StatusCode.ERROR

    asyncio.run(main())


def test_spans_of_the_drivers_own_requests_are_below_the_call() -> None:
    class Requesting(DriverMiddleware):
        async def put_content(self, path: str, data: object, options: PutOptions) -> FileInfo:
            with traced.tracer.start_as_current_span("request"):
                return FileInfo(path)

    traced = Traced(Requesting(InMemoryDriver()))
    with traced.tracer.start_as_current_span("caller"):
        asyncio.run(traced.driver.put_content("/a", b"", PutOptions()))
    request, call, caller = traced.spans
    assert request.parent is not None and call.parent is not None
    assert (request.parent, call.parent) == (call.context, caller.context)


def test_reader_is_one_span_from_its_opening_to_its_end() -> None:
    async def test(traced: Traced, storage: Storage) -> None:
        await storage.put_content("/a", bytes(1000))
        async with await storage.reader("/a") as reader:
            await reader.read(10)
            assert traced.names()[-1] == "inmemory open_reader"
        span = traced.spans[-1]
        assert span.name == "inmemory read"
        assert (span.attributes or {})["storagedriver.bytes"] == 1000

    run(test)


def test_reader_that_nobody_closes_has_its_span_when_it_is_lost() -> None:
    async def main() -> None:
        traced = Traced()
        await traced.driver.put_content("/a", b"x", PutOptions())
        stream = await traced.driver.open_reader("/a", ReadOptions())
        del stream
        gc.collect()
        await asyncio.sleep(0)
        assert traced.names()[-1] == "inmemory read"

    asyncio.run(main())


def test_trace_that_was_not_sampled_is_not_looked_at_further() -> None:
    class Current(DriverMiddleware):
        async def put_content(self, path: str, data: object, options: PutOptions) -> FileInfo:
            seen.append(get_current_span())
            return FileInfo(path)

    seen: list[object] = []
    # It would sample whatever has no parent that it knows of.
    traced = Traced(Current(InMemoryDriver()), sampler=TraceIdRatioBased(1.0))
    off = Traced(sampler=ParentBased(ALWAYS_OFF))
    with off.tracer.start_as_current_span("caller") as caller:
        asyncio.run(traced.driver.put_content("/a", b"", PutOptions()))
    assert (traced.spans, off.spans, seen) == ((), (), [caller])
    assert isinstance(caller, NonRecordingSpan)


def test_root_that_is_sampled_out_is_no_span() -> None:
    off = Traced(sampler=ALWAYS_OFF)
    asyncio.run(off.driver.put_content("/a", b"", PutOptions()))
    assert off.spans == ()


def test_without_a_provider_a_call_is_only_a_call() -> None:
    driver = TracingMiddleware(InMemoryDriver(), TracingParameters())
    info = asyncio.run(driver.put_content("/a", b"12", PutOptions()))
    assert info.size == 2
