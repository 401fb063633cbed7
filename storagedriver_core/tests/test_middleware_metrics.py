from __future__ import annotations

import asyncio
import gc
import itertools
import pickle
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    Storage,
    UnavailableError,
    load_plugins,
)
from storagedriver_core.middleware.metrics import MetricsMiddleware, MetricsParameters

_names = itertools.count()


class Measured:
    """A driver in memory under a name of its own, and what was measured of it."""

    def __init__(self) -> None:
        self.name = f"test{next(_names)}"
        self.driver = MetricsMiddleware(InMemoryDriver(), MetricsParameters(storage=self.name))

    def get(self, sample: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(
            f"storagedriver_{sample}", {"storage": self.name, **labels}
        )

    def calls(self, operation: str) -> float:
        return self.get("call_seconds_count", operation=operation) or 0.0

    def bytes(self, operation: str) -> float:
        return self.get("call_bytes_total", operation=operation) or 0.0


def run(test: Callable[[Measured, Storage], Awaitable[None]]) -> None:
    async def main() -> None:
        measured = Measured()
        async with Storage(measured.driver) as storage:
            await test(measured, storage)

    asyncio.run(main())


def test_calls_are_counted_with_their_seconds_and_bytes() -> None:
    async def test(measured: Measured, storage: Storage) -> None:
        await storage.put_content("/a", bytes(1000))
        await storage.put_content("/b", bytes(10))
        await storage.get_content("/a")
        assert (measured.calls("put_content"), measured.bytes("put_content")) == (2, 1010)
        assert (measured.calls("get_content"), measured.bytes("get_content")) == (1, 1000)
        seconds = measured.get("call_seconds_sum", operation="put_content")
        assert seconds is not None and 0 < seconds < 60

    run(test)


def test_errors_are_counted_by_their_class() -> None:
    async def test(measured: Measured, storage: Storage) -> None:
        for _ in range(2):
            with pytest.raises(PathNotFoundError):
                await storage.get_content("/missing")
        labels = {"operation": "get_content", "error": "PathNotFoundError"}
        assert measured.get("call_errors_total", **labels) == 2
        assert measured.calls("get_content") == 2

    run(test)


def test_reader_is_counted_once_when_it_is_closed() -> None:
    async def test(measured: Measured, storage: Storage) -> None:
        await storage.put_content("/a", bytes(1000))
        async with await storage.reader("/a") as reader:
            await reader.read(10)
            assert measured.get("open_readers") == 1
            assert measured.calls("read") == 0
        assert (measured.get("open_readers"), measured.calls("read")) == (0, 1)
        assert measured.bytes("read") == 1000

    run(test)


def test_reader_that_nobody_closes_is_counted_when_it_is_lost() -> None:
    async def main() -> None:
        measured = Measured()
        await measured.driver.put_content("/a", b"x" * 10, PutOptions())
        stream = await measured.driver.open_reader("/a", ReadOptions())
        await stream.next_chunk()
        del stream
        gc.collect()
        await asyncio.sleep(0)
        assert (measured.get("open_readers"), measured.bytes("read")) == (0, 10)

    asyncio.run(main())


def test_broken_reader_counts_an_error() -> None:
    async def main() -> None:
        measured = Measured()
        await measured.driver.put_content("/a", b"x" * 10, PutOptions())
        stream = await measured.driver.open_reader("/a", ReadOptions())

        async def broken() -> bytes:
            raise UnavailableError

        stream._stream.next_chunk = broken  # type: ignore[attr-defined]  # of the one below
        with pytest.raises(UnavailableError):
            await stream.next_chunk()
        await stream.aclose()
        labels = {"operation": "read", "error": "UnavailableError"}
        assert measured.get("call_errors_total", **labels) == 1

    asyncio.run(main())


def test_each_page_and_part_counts() -> None:
    async def test(measured: Measured, storage: Storage) -> None:
        async with await storage.writer("/a") as writer:
            await writer.write(bytes(5000))
            await writer.commit()
        assert measured.bytes("put_part") == 5000
        assert (measured.calls("open_upload"), measured.calls("complete_upload")) == (1, 1)
        assert [info.path async for info in storage.list("/", page_size=1)] == ["/a"]
        assert measured.calls("list") >= 1

    run(test)


def test_label_is_the_drivers_name_unless_it_is_given() -> None:
    driver = MetricsMiddleware(InMemoryDriver(), MetricsParameters())
    before = {"storage": "inmemory", "operation": "put_content"}
    count = REGISTRY.get_sample_value("storagedriver_call_seconds_count", before) or 0
    asyncio.run(driver.put_content("/a", b"", PutOptions()))
    assert REGISTRY.get_sample_value("storagedriver_call_seconds_count", before) == count + 1


def test_unopened_middleware_goes_to_another_process(tmp_path: object) -> None:
    plugins = load_plugins()
    spec = plugins.driver("filesystem")
    inner = plugins.load_factory(spec)(spec.parameters(root_directory=tmp_path))
    driver = MetricsMiddleware(inner, MetricsParameters(storage="there"))
    assert pickle.loads(pickle.dumps(driver))._storage == "there"
