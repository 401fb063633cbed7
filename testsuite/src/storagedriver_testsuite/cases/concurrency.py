"""Concurrency: K01 to K11."""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from storagedriver_core import ClosedError, Storage, StorageDriverError, SyncStorage
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Disturbed, Recorder, names, with_middleware

# Much less than a case has; a child that hangs takes longer, and no other as long.
FORKED_CHILD_SECONDS = 30.0


async def put_again_and_again(
    storage: Storage, say: Callable[[Any], None], path: str, data: bytes, times: int
) -> None:
    """In a child process: replace one object many times."""
    say("ready")
    for _ in range(times):
        await storage.put_content(path, data)
    say("done")


async def append_to_content(
    storage: Storage, say: Callable[[Any], None], path: str, tail: bytes
) -> None:
    """In a child process: use the storage that was pickled while it was open."""
    await storage.put_content(path, await storage.get_content(path) + tail)
    say("done")


class ConcurrencyCases(CaseGroup):
    """Many readers, writers, tasks, threads, event loops and processes on one store."""

    @case("K01")
    async def test_parallel_readers_of_one_object_all_get_it(self, kit: Kit) -> None:
        size = 128 * 1024 * 1024 if kit.large else 1024 * 1024
        data = kit.random_bytes(size)
        await kit.seed("/a", data)
        async with AsyncExitStack() as stack:
            readers = [
                await stack.enter_async_context(await kit.storage.reader("/a")) for _ in range(16)
            ]
            # In lockstep, so that each has its own position while all others have theirs.
            while readers[0].position < size:
                start = readers[0].position
                pieces = await asyncio.gather(*(reader.read(size // 4) for reader in readers))
                assert set(pieces) == {data[start : start + size // 4]}

    @case("K02", needs=("upload",))
    async def test_parallel_writers_on_different_paths_do_not_mix(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        contents = {f"/a/{number}": kit.random_bytes(3 * PART + number) for number in range(8)}
        async with AsyncExitStack() as stack:
            writers = [
                await stack.enter_async_context(await storage.writer(path)) for path in contents
            ]
            for start in range(0, 3 * PART + 8, PART // 2):
                pieces = [data[start : start + PART // 2] for data in contents.values()]
                await asyncio.gather(
                    *(writer.write(piece) for writer, piece in zip(writers, pieces, strict=True))
                )
            await asyncio.gather(*(writer.commit() for writer in writers))
        for path, data in contents.items():
            assert await kit.peek(path) == data

    @case("K03")
    async def test_parallel_puts_and_gets_of_many_keys_do_not_mix(self, kit: Kit) -> None:
        async def put_and_get(number: int) -> None:
            path = f"/a/{number}"
            for turn in range(3):
                data = f"{number} {turn} ".encode() * (number + 1)
                info = await kit.storage.put_content(path, data)
                assert (info.path, info.size) == (path, len(data))
                assert await kit.storage.get_content(path) == data
                assert (await kit.storage.stat(path)).size == len(data)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(put_and_get(number))

    @case("K04")
    async def test_parallel_puts_on_one_path_leave_one_of_them_whole(self, kit: Kit) -> None:
        contents = [bytes([letter]) * (50_000 + letter) for letter in b"abcdefgh"]
        for _ in range(3):
            await asyncio.gather(*(kit.storage.put_content("/a", data) for data in contents))
            final = await kit.peek("/a")
            assert final in contents, f"a mixture of {set(final)}"

    @case("K05", needs=("shared_between_processes",))
    async def test_two_processes_on_one_path_leave_one_whole_result(self, kit: Kit) -> None:
        ours, theirs = b"a" * 200_000, b"b" * 300_000
        await kit.seed("/a", ours)
        async with kit.child(put_again_and_again, "/a", theirs, 20) as child:
            assert await child.said() == "ready"
            done = asyncio.create_task(child.said())
            try:
                while not done.done():
                    await kit.storage.put_content("/a", ours)
                    if kit.capabilities.atomic_commit:
                        assert await kit.storage.get_content("/a") in (ours, theirs)
            finally:
                done.cancel()
                await asyncio.wait({done})
            assert done.result() == "done"
        assert await kit.peek("/a") in (ours, theirs)

    @case("K06")
    async def test_limiter_keeps_its_number_and_its_line(self, kit: Kit) -> None:
        await kit.seed("/a", b"content")
        storage = await kit.open(with_middleware(kit.wrapped_driver(), "limit", concurrency=2))
        open_now = most = 0

        async def read() -> None:
            nonlocal open_now, most
            async with await storage.reader("/a") as reader:
                open_now += 1
                most = max(most, open_now)
                await asyncio.sleep(0)
                assert await reader.read() == b"content"
                open_now -= 1

        await asyncio.gather(*(read() for _ in range(9)))
        assert most <= 2  # fewer, where one is over before the next has begun

        turns: list[str] = []

        async def wait_for_turn(name: str) -> None:
            async with await storage.reader("/a"):
                turns.append(name)

        held = [await storage.reader("/a") for _ in range(2)]
        waiting = {name: asyncio.create_task(wait_for_turn(name)) for name in "abcd"}
        await asyncio.sleep(0)
        waiting["b"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting.pop("b")
        assert turns == []
        await held[0].aclose()
        await asyncio.gather(*waiting.values())
        assert turns == ["a", "c", "d"]
        await held[1].aclose()

    @case("K07", needs=("upload",))
    async def test_limiter_counts_open_readers_writers_and_listings(self, kit: Kit) -> None:
        await kit.seed("/a", b"content")
        recorder = Recorder(kit.wrapped_driver())
        storage = await kit.open(with_middleware(recorder, "limit", concurrency=2))

        # What gets past the limiter reaches the recorder in the task's first step.
        readers = [await storage.reader("/a") for _ in range(2)]
        third_reader = asyncio.create_task(storage.reader("/a"))
        await asyncio.sleep(0)
        assert recorder.calls.count("open_reader") == 2
        await readers.pop().aclose()
        readers.append(await third_reader)
        for reader in readers:
            await reader.aclose()

        writers = [await storage.writer(f"/b/{number}") for number in range(2)]
        third_writer = asyncio.create_task(storage.writer("/b/2"))
        await asyncio.sleep(0)
        assert recorder.calls.count("open_upload") == 2
        await writers.pop().commit()
        writers.append(await third_writer)
        for writer in writers:
            await writer.cancel()

        gate, in_page = asyncio.Event(), 0

        async def hold(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal in_page
            in_page += operation == "list"
            await gate.wait()
            return await call()

        slow = Disturbed(kit.wrapped_driver(), hold)
        storage = await kit.open(with_middleware(slow, "limit", concurrency=2))
        listings = [asyncio.create_task(names(storage.list("/"))) for _ in range(3)]
        await asyncio.sleep(0)
        assert in_page == 2
        gate.set()
        assert await asyncio.gather(*listings) == [await names(kit.storage.list("/"))] * 3

    @case("K08", needs=("upload",))
    async def test_sync_facade_serves_threads_and_refuses_a_running_loop(self, kit: Kit) -> None:
        facade = SyncStorage(kit.unopened())
        with pytest.raises(ClosedError):
            facade.open()

        def work(number: int) -> bytes:
            path, data = f"/a/{number}", bytes([number]) * 10_000
            facade.put_content(path, data)
            with facade.writer(f"{path}-written") as writer:
                writer.write(data)
                writer.commit()
            with facade.reader(f"{path}-written") as reader:
                assert reader.read() == data
            assert facade.stat(path).size == len(data)
            return facade.get_content(path)

        def all_threads() -> list[bytes]:
            with facade, ThreadPoolExecutor(16) as pool:
                contents = list(pool.map(work, range(16)))
                assert len(list(facade.walk("/a"))) == 32
            return contents

        assert await asyncio.to_thread(all_threads) == [bytes([n]) * 10_000 for n in range(16)]

    @case("K09")
    async def test_second_event_loop_works_or_is_refused_as_declared(self, kit: Kit) -> None:
        storage = kit.storage
        await storage.put_content("/a", b"content")

        async def use() -> None:
            assert await storage.get_content("/a") == b"content"
            await storage.put_content("/b", b"other loop")

        if kit.capabilities.any_event_loop:
            await asyncio.to_thread(asyncio.run, use())
            assert await kit.peek("/b") == b"other loop"
        else:
            with pytest.raises(ClosedError):
                await asyncio.to_thread(asyncio.run, use())
        assert await storage.get_content("/a") == b"content"

    @case("K10")
    async def test_fork_ends_in_an_answer_and_a_pickle_serves_another_process(
        self, kit: Kit
    ) -> None:
        storage, data = kit.storage, kit.random_bytes(1024 * 1024)

        async def use() -> None:
            if kit.capabilities.upload:
                async with await storage.writer("/a") as writer:
                    await writer.write(data)
                    await writer.commit()
            await storage.put_content("/a", iter([data]))
            assert await storage.get_content("/a") == data

        await use()  # threads and connections are there from now on
        assert await _outcome_in_forked_child(use) in ("done", "ClosedError")
        await use()

        if kit.capabilities.shared_between_processes:
            async with kit.child(append_to_content, "/a", b"tail", storage=storage) as child:
                assert await child.said() == "done"
            assert await storage.get_content("/a") == data + b"tail"

    @case("K11", needs=("upload",))
    async def test_cancelled_operations_leave_full_concurrency(self, kit: Kit) -> None:
        storage = kit.storage
        await kit.seed("/a", b"content")

        async def write() -> None:
            async with await storage.writer("/b") as writer:
                await writer.write(b"content")
                await writer.commit()

        async def read() -> None:
            async with await storage.reader("/a") as reader:
                await reader.read()

        operations: list[Callable[[], Coroutine[Any, Any, object]]] = [
            write,
            read,
            lambda: storage.put_content("/b", b"content"),
            lambda: storage.get_content("/a"),
            lambda: names(storage.walk("/")),
        ]
        for number in range(100):
            task = asyncio.create_task(operations[number % len(operations)]())
            for _ in range(number // len(operations) % 6):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        async with AsyncExitStack() as stack:
            readers = await asyncio.gather(*(storage.reader("/a") for _ in range(32)))
            writers = await asyncio.gather(*(storage.writer(f"/c/{n}") for n in range(32)))
            for reader in readers:
                await stack.enter_async_context(reader)
            for writer in writers:
                await stack.enter_async_context(writer)
            gets = (storage.get_content("/a") for _ in range(32))
            assert set(await asyncio.gather(*gets)) == {b"content"}
            assert await asyncio.gather(*(reader.read() for reader in readers)) == [b"content"] * 32


async def _outcome_in_forked_child(work: Callable[[], Coroutine[Any, Any, None]]) -> str:
    """Run `work` on a new loop of a forked child: "done", or the name of what it raised."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside threads. That such a child gets on is the case.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            asyncio.run(work())
            outcome = "done"
        except StorageDriverError as error:
            outcome = type(error).__name__
        except BaseException as error:
            outcome = f"no typed error, but {error!r}"
        os.write(writable, outcome.encode())
        os._exit(0)
    os.close(writable)
    answer = asyncio.create_task(asyncio.to_thread(os.read, readable, 1000))
    done, _ = await asyncio.wait({answer}, timeout=FORKED_CHILD_SECONDS)
    os.kill(child, signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, child, 0)
    outcome = (await answer).decode()  # the death of the child ends a wait for its word
    os.close(readable)
    assert done, "the child hangs"
    return outcome
