"""Benchmarks of one driver, by pytest-benchmark.

Each verifies what came, and stays within a number of requests and an amount of memory; time is
told, and never judged. With `--benchmark-disable` each runs once, as a plain test.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from storagedriver_core import Storage
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import SuiteBase
from storagedriver_testsuite.cases._support import Recorder, TracedMemory, names

MIB = 1024 * 1024
LARGE = 64 * MIB
READ_AHEAD = 32 * MIB

Operation = Callable[[Storage], Coroutine[Any, Any, object]]


class Bench:
    """The world of one benchmark: a store, an event loop, and a stopwatch.

    Attributes:
        kit: The store, opened.
    """

    def __init__(self, kit: Kit, runner: asyncio.Runner, stopwatch: BenchmarkFixture) -> None:
        self.kit = kit
        self._runner = runner
        self._stopwatch = stopwatch

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something that is not measured."""
        return self._runner.run(work)

    def require(self, capability: str) -> None:
        """Skip the benchmark unless the driver declares the capability."""
        if not getattr(self.kit.capabilities, capability):
            pytest.skip(f"{capability} is not declared")

    def measure(self, operation: Operation, *, requests: int, size: int = 0, times: int = 1) -> Any:
        """Run `operation` within its budget, then measure it.

        Args:
            operation: What to measure; may be repeated.
            requests: Calls of the driver that it may make, steps of streams and listings included.
            size: Bytes that it moves. With `bounded_memory` it may not hold all of them.
            times: Operations in one measured round, so that a round takes longer than the clock's
                and the loop's own time.

        Returns:
            What the operation returned last.
        """
        recorder = Recorder(self.kit.wrapped_driver())
        recorded = self.run(self.kit.open(recorder))
        with TracedMemory() as memory:
            self.run(operation(recorded))
        assert len(recorder.calls) <= requests, recorder.calls
        if size > READ_AHEAD and self.kit.capabilities.bounded_memory:
            assert memory.peak < READ_AHEAD, f"{memory.peak} bytes of memory"
        self._stopwatch.extra_info.update(operations=times, bytes=size)

        async def round_() -> object:
            result: object = None
            for _ in range(times):
                result = await operation(self.kit.storage)
            return result

        return self._stopwatch(lambda: self.run(round_()))


class DriverBenchmarks(SuiteBase):
    """Every benchmark. Subclass it and override the fixture `harness`, as for `DriverSuite`."""

    @pytest.fixture
    def bench(self, kit: Kit, benchmark: BenchmarkFixture) -> Iterator[Bench]:
        """Give the world of one benchmark."""
        with asyncio.Runner() as runner:
            opened = kit.opened()
            runner.run(opened.__aenter__())
            yield Bench(kit, runner, benchmark)
            runner.run(opened.__aexit__(None, None, None))

    def test_put_of_1_kib(self, bench: Bench) -> None:
        """Store a small file."""
        data = bench.kit.random_bytes(1024)
        bench.measure(lambda storage: storage.put_content("/a", data), requests=1, times=100)
        assert bench.run(bench.kit.peek("/a")) == data

    def test_get_of_1_kib(self, bench: Bench) -> None:
        """Read a small file."""
        data = bench.kit.random_bytes(1024)
        bench.run(bench.kit.seed("/a", data))
        got = bench.measure(lambda storage: storage.get_content("/a"), requests=1, times=100)
        assert got == data

    def test_streamed_put_of_64_mib(self, bench: Bench) -> None:
        """Write a large file in pieces, with its digest."""
        bench.require("upload")
        block = bench.kit.random_bytes(MIB)
        digest = _digest(block)

        async def write(storage: Storage) -> None:
            async with await storage.writer("/a", max_size=LARGE) as writer:
                for _ in range(LARGE // MIB):
                    await writer.write(block)
                await writer.commit(digest=f"sha256:{digest}")

        bench.measure(write, requests=LARGE // MIB + 2, size=LARGE)
        assert bench.run(_digest_of(bench.kit.storage, "/a")) == digest

    def test_streamed_get_of_64_mib(self, bench: Bench) -> None:
        """Read a large file in pieces."""
        block = bench.kit.random_bytes(MIB)
        bench.run(bench.kit.seed("/a", block * (LARGE // MIB)))
        got = bench.measure(
            lambda storage: _digest_of(storage, "/a"),
            requests=1 + LARGE // (64 * 1024) + 1,
            size=LARGE,
        )
        assert got == _digest(block)

    def test_list_of_1000(self, bench: Bench) -> None:
        """List a directory."""
        paths = [f"/a/{number:04}" for number in range(1000)]
        bench.run(bench.kit.seed_many(dict.fromkeys(paths, b"")))
        # A page, the end, and one more for a store with smaller pages than asked.
        listed = bench.measure(lambda storage: names(storage.list("/a")), requests=3)
        assert sorted(listed) == paths

    def test_stat(self, bench: Bench) -> None:
        """Look at a file."""
        bench.run(bench.kit.seed("/a/b/c", b"content"))
        info = bench.measure(lambda storage: storage.stat("/a/b/c"), requests=1, times=100)
        assert (info.size, info.is_dir) == (7, False)

    def test_move(self, bench: Bench) -> None:
        """Move a file there and back."""
        data = bench.kit.random_bytes(1024)
        bench.run(bench.kit.seed("/a/x", data))

        async def there_and_back(storage: Storage) -> None:
            await storage.move("/a/x", "/b/y")
            await storage.move("/b/y", "/a/x")

        bench.measure(there_and_back, requests=4, times=10)
        assert bench.run(bench.kit.peek("/a/x")) == data

    def test_resume(self, bench: Bench) -> None:
        """Suspend an upload of 1 MiB and resume it."""
        bench.require("upload")
        data = bench.kit.random_bytes(MIB)
        tokens: list[str] = []

        async def begin() -> None:
            writer = await bench.kit.storage.writer("/a")
            await writer.write(data)
            tokens.append((await writer.suspend()).to_json())

        async def resume(storage: Storage) -> None:
            writer = await storage.resume(tokens[-1])
            tokens.append((await writer.suspend()).to_json())

        async def commit() -> None:
            async with await bench.kit.storage.resume(tokens[-1]) as writer:
                await writer.commit()

        bench.run(begin())
        # Find the upload, read the tail, store the tail, sync.
        bench.measure(resume, requests=4, times=10)
        bench.run(commit())
        assert bench.run(bench.kit.peek("/a")) == data


def _digest(block: bytes) -> str:
    running = hashlib.sha256()
    for _ in range(LARGE // MIB):
        running.update(block)
    return running.hexdigest()


async def _digest_of(storage: Storage, path: str) -> str:
    running = hashlib.sha256()
    async with await storage.reader(path) as reader:
        async for chunk in reader:
            running.update(chunk)
    return running.hexdigest()
