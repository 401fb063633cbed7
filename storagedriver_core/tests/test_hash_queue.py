"""Hashing in a worker thread."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from storagedriver_core._hash_queue import HashQueue, HashRoom
from storagedriver_core._hashing import new_hasher

MIB = 1024 * 1024


class AtOnce(Executor):
    """Has done the work when it is submitted."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


def test_chunk_put_while_the_worker_ends_is_hashed() -> None:
    first, second = b"f" * 512 * 1024, b"s" * 100 * 1024
    digests = []

    async def hash_both() -> None:
        queue = HashQueue({"sha256": new_hasher("sha256")}, 0, AtOnce(), HashRoom())
        queue.put(first)
        # Now the worker has ended, and the loop has not told the queue yet.
        await asyncio.sleep(0)
        queue.put(second)
        await queue.reach(len(first) + len(second))
        digests.append(queue.hexdigests()["sha256"])

    # In a thread, because the fault is a loop that no timeout of asyncio ends.
    thread = threading.Thread(target=asyncio.run, args=(hash_both(),), daemon=True)
    thread.start()
    thread.join(20)
    assert digests == [hashlib.sha256(first + second).hexdigest()]


class Later(Executor):
    """Does the work when it is told to."""

    def __init__(self) -> None:
        self._submitted: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._submitted.append((future, partial(function, *args, **kwargs)))
        return future

    def do_one(self) -> None:
        """Do what was submitted first."""
        future, work = self._submitted.pop(0)
        future.set_result(work())


def test_queues_share_the_room() -> None:
    async def fill() -> list[int]:
        later, room = Later(), HashRoom()
        queues = [HashQueue({"sha256": new_hasher("sha256")}, 0, later, room) for _ in range(3)]
        shares = [room.share]
        for queue in queues:
            queue.put(bytes(MIB))
            shares.append(room.share)
        for queue in queues:
            later.do_one()
            await queue.reach(MIB)
            for _ in range(5):  # until the loop has told it
                await asyncio.sleep(0)
            shares.append(room.share)
        return shares

    shares = asyncio.run(fill())
    assert shares == [16 * MIB, 16 * MIB, 8 * MIB, 16 * MIB // 3, 8 * MIB, 16 * MIB, 16 * MIB]


def test_queue_waits_at_its_share_and_no_sooner() -> None:
    async def fill(others: int, share: int) -> None:
        later, room = Later(), HashRoom()
        make = partial(HashQueue, {"sha256": new_hasher("sha256")}, 0, later, room)
        queue, more = make(), [make() for _ in range(others)]
        for each in more:
            each.put(bytes(MIB))
        for _ in range(share):
            await asyncio.wait_for(queue.wait_for_room(), 10)
            queue.put(bytes(MIB))
        await asyncio.wait_for(queue.wait_for_room(), 10)
        queue.put(b"x")
        waiting = asyncio.ensure_future(queue.wait_for_room())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        for _ in range(others + 1):
            later.do_one()
        await asyncio.wait_for(waiting, 10)
        assert not queue.pending

    for others, share in ((0, 16), (3, 4), (50, 2)):
        asyncio.run(fill(others, share))


def test_queue_whose_loop_has_ended_takes_no_room() -> None:
    room = HashRoom()

    async def leave() -> None:
        HashQueue({"sha256": new_hasher("sha256")}, 0, Later(), room).put(bytes(MIB))
        other = HashQueue({"sha256": new_hasher("sha256")}, 0, Later(), room)
        other.put(bytes(MIB))
        assert room.share == 8 * MIB

    asyncio.run(leave())
    gc.collect()
    assert room.share == 16 * MIB
