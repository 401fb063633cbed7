"""Memory, threads, descriptors and the event loop: Q01 to Q07."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest

from storagedriver_core import Storage, UnavailableError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit, Resources, count_descriptors
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite._watch import BlockingCalls, longest_callback
from storagedriver_testsuite.cases._support import Disturbed, TracedMemory, names

MIB = 1024 * 1024
SESSIONS = 24
READ_AHEAD = 8 * MIB
CALLBACK_SECONDS = 0.05
# As many a writer sends at once.
PARTS_IN_FLIGHT = 4


async def stream_in_and_out(
    storage: Storage, say: Callable[[Any], None], size: int, slower: float
) -> None:
    """In a child process: write and read one object, and tell the memory that it took.

    Args:
        storage: Where to.
        say: Tells the bytes above those of the idle process.
        size: Bytes of the object.
        slower: How many times as long as the writer the reader takes.
    """
    block = os.urandom(MIB)
    await _write_and_read(storage, "/warm", block, 4 * MIB, 0.0)
    idle = psutil.Process().memory_info().rss
    peak = await _write_and_read(storage, "/big", block, size, slower)
    say(peak - idle)


async def _write_and_read(
    storage: Storage, path: str, block: bytes, size: int, slower: float
) -> int:
    """Give the most memory that the process had."""
    process, written, peak = psutil.Process(), hashlib.sha256(), 0
    started = time.monotonic()
    async with await storage.writer(path, max_size=size) as writer:
        for _ in range(size // len(block)):
            await writer.write(block)
            written.update(block)
            peak = max(peak, process.memory_info().rss)
        await writer.commit(digest=f"sha256:{written.hexdigest()}")
    pause = slower * (time.monotonic() - started) / size
    read = hashlib.sha256()
    async with await storage.reader(path) as reader:
        async for chunk in reader:
            read.update(chunk)
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(pause * len(chunk))
    assert read.digest() == written.digest()
    return peak


class ResourceCases(CaseGroup):
    """What operations take, and that they give it back."""

    @case("Q01", needs=("upload", "bounded_memory", "shared_between_processes"))
    async def test_streams_need_bounded_memory(self, kit: Kit) -> None:
        declared = kit.capabilities
        storage = kit.unopened(part_size=max(MIB, declared.min_part_size))
        in_flight = 0
        if declared.keeps_ledger:
            in_flight = PARTS_IN_FLIGHT * max(MIB, declared.min_part_size)
        if kit.large:
            size, ceiling = 2048 * MIB, in_flight + (96 if declared.keeps_ledger else 64) * MIB
        else:
            ceiling = in_flight + 32 * MIB
            size = 2 * ceiling
        # How a slow reader holds a connection up is seen after some hundred megabytes, too.
        for slower in (0.0, 100.0) if kit.large and not kit.harness.is_remote else (0.0,):
            async with kit.child(stream_in_and_out, size, slower, storage=storage) as child:
                taken = await child.said()
            assert taken < ceiling, f"{taken // MIB} MiB for a stream of {size // MIB} MiB"

    @case("Q02")
    async def test_slow_reader_is_not_read_ahead_of_without_bound(self, kit: Kit) -> None:
        data = kit.random_bytes(16 * MIB)
        await kit.seed("/a", data)
        fetched = 0

        async def count(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal fetched
            result = await call()
            fetched += len(result) if operation == "read" else 0
            return result

        storage = await kit.open(Disturbed(kit.wrapped_driver(), count))
        together = (1, 3) if kit.capabilities.get_with_conditions else (1,)
        for concurrency in together:
            fetched = 0
            with TracedMemory() as memory:
                async with await storage.reader(
                    "/a", concurrency=concurrency, chunk_size=MIB
                ) as reader:
                    got = len(await reader.read(1000))
                    for _ in range(200):
                        await asyncio.sleep(0)
                    assert fetched < READ_AHEAD
                    while chunk := await reader.read(100_000):
                        got += len(chunk)
            assert got == len(data)
            if kit.capabilities.bounded_memory:
                assert memory.peak < READ_AHEAD

    @case("Q03", needs=("upload",))
    async def test_idle_sessions_hold_no_thread_and_suspended_ones_no_descriptor(
        self, kit: Kit
    ) -> None:
        storage = kit.storage
        await asyncio.gather(*(storage.put_content(f"/p/{n}", b"") for n in range(SESSIONS)))
        await asyncio.gather(*(storage.get_content(f"/p/{n}") for n in range(SESSIONS)))
        threads, descriptors = threading.active_count(), count_descriptors()
        writers = []
        for number in range(SESSIONS):
            writer = await storage.writer(f"/w/{number}")
            await writer.write(b"a little")
            writers.append(writer)
        assert threading.active_count() < threads + SESSIONS / 2
        await asyncio.gather(*(storage.get_content(f"/p/{n}") for n in range(SESSIONS)))
        tokens = [await writer.suspend() for writer in writers]
        # A pool of connections may still have grown by a few.
        assert count_descriptors() < descriptors + SESSIONS / 2
        for token in tokens:
            await (await storage.resume(token)).cancel()

    @case("Q04", needs=("upload",))
    async def test_nothing_blocks_the_event_loop(self, kit: Kit) -> None:
        block = kit.random_bytes(16 * MIB)
        await _use_everything(kit, kit.storage, block[:1000])  # imports come first
        with BlockingCalls(kit.harness.calls_that_never_wait) as calls:
            await _use_everything(kit, kit.storage, block[:1000])
        assert calls.seen == [], "calls that may block, on the loop's thread"
        gc.collect()
        gc.disable()  # its pauses are not the driver's
        try:
            # A callback that takes so long always does: what does once was slowed by others.
            for _ in range(3):
                with longest_callback() as longest:
                    await _use_everything(kit, kit.storage, block)
                if longest.seconds < CALLBACK_SECONDS:
                    break
        finally:
            gc.enable()
        assert longest.seconds < CALLBACK_SECONDS, longest.name

    @case("Q05")
    async def test_descriptors_threads_and_tasks_are_as_many_as_before(self, kit: Kit) -> None:
        async def use() -> None:
            async with kit.unopened() as storage:
                await _use_everything(kit, storage, b"content")
                await _fail_in_many_ways(kit, storage)

        await use()  # the case's own storages are open from now on
        before, tasks = Resources.now(), asyncio.all_tasks()
        for _ in range(3):
            await use()
        gc.collect()
        before.check()
        assert asyncio.all_tasks() == tasks
        # The check after each case goes by these counts: they must see what is there.
        readable, writable = os.pipe()
        with pytest.raises(AssertionError, match="descriptors"):
            before.check(patience=0.0)
        os.close(readable)
        os.close(writable)

    @case("Q06", needs=("upload",))
    async def test_uploads_are_gone_however_their_writers_end(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        open_writer = await storage.writer("/open")
        await open_writer.write(kit.random_bytes(PART))
        # The check after each case goes by this listing: it must see what is there.
        assert len(await kit.harness.raw_uploads()) == 1
        await open_writer.cancel()
        for end in ("commit", "cancel", "aclose", "raise"):
            with pytest.raises(ArithmeticError):
                async with await storage.writer("/a") as writer:
                    await writer.write(kit.random_bytes(PART + 100))
                    if end != "raise":
                        await getattr(writer, end)()
                    raise ArithmeticError
            assert await kit.harness.raw_uploads() == [], end
        await _fail_in_many_ways(kit, storage)
        if kit.capabilities.list_uploads:
            assert [info async for info in storage.list_uploads()] == []
        assert await kit.harness.raw_uploads() == []

    @case("Q07", needs=("upload",))
    async def test_no_error_goes_unseen_and_nothing_warns(self, kit: Kit) -> None:
        await _use_everything(kit, kit.storage, b"content")
        await _fail_in_many_ways(kit, kit.storage)
        gc.collect()
        await asyncio.sleep(0)
        assert kit.unseen_errors() == []

        lost = asyncio.get_running_loop().create_future()
        lost.set_exception(ArithmeticError())
        del lost
        gc.collect()
        # The check after each case goes by this list: it must hold what nobody asked for.
        (unseen,) = kit.unseen_errors()
        assert isinstance(unseen["exception"], ArithmeticError)

        writer = await kit.storage.writer("/never-closed")
        token = writer.token()
        with pytest.warns(ResourceWarning, match="never closed"):
            del writer
            gc.collect()
        await (await kit.storage.resume(token)).cancel()


async def _use_everything(kit: Kit, storage: Storage, data: bytes) -> None:
    """Use every operation that the driver declares, so that each succeeds."""
    declared = kit.capabilities
    hashed = await asyncio.to_thread(hashlib.sha256, data)
    await storage.check()
    await storage.put_content("/a", data, digest=f"sha256:{hashed.hexdigest()}")
    await storage.put_content("/b", _pieces(data))
    await storage.get_content("/a")
    async with await storage.reader("/a", offset=1 if declared.get_range else 0) as reader:
        await reader.read()
    if declared.get_with_conditions:
        async with await storage.reader("/a", concurrency=2, chunk_size=MIB) as reader:
            await reader.read()
    await storage.stat("/a")
    await names(storage.list("/"))
    await names(storage.walk("/"))
    if declared.upload:
        async with await storage.writer("/w/x", hashes=("md5", "sha256", "sha512")) as writer:
            await writer.write(data)
            token = await writer.suspend()
        async with await storage.resume(token) as writer:
            await writer.commit()
    if declared.copy:
        await storage.copy("/a", "/c")
    for algorithm in declared.checksum_algorithms:
        await storage.checksum("/a", algorithm)
    if declared.list_uploads:
        assert [info async for info in storage.list_uploads()] == []
    await storage.move("/a", "/m")
    await storage.delete_many(["/m", "/b"])
    await storage.delete("/w", missing_ok=True)


async def _fail_in_many_ways(kit: Kit, storage: Storage) -> None:
    """Let streams end early, in errors and in cancellations."""
    await storage.put_content("/f/1", kit.random_bytes(PART))
    await storage.put_content("/f/2", b"")

    async def broken_body() -> AsyncIterator[bytes]:
        yield kit.random_bytes(PART)
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await storage.put_content("/f/3", broken_body())
    async with await storage.reader("/f/1") as reader:
        await reader.read(10)
    listing = storage.walk("/", page_size=1)
    await anext(listing)
    await listing.aclose()

    async def refuse_parts(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if operation == "put_part":
            raise UnavailableError
        return await call()

    if kit.capabilities.upload:
        refusing = await kit.open_parts(driver=Disturbed(kit.wrapped_driver(), refuse_parts))
        size = 4 * max(PART, refusing.capabilities.min_part_size)
        with pytest.raises(UnavailableError):
            await refusing.put_content("/f/3", _pieces(kit.random_bytes(size)))
        task = asyncio.create_task(storage.put_content("/f/3", _pieces(kit.random_bytes(size))))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await refusing.aclose()
    await storage.delete("/f")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PART):
        yield data[start : start + PART]
