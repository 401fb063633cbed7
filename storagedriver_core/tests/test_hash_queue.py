"""Hashing in a worker thread."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from storagedriver_core._hash_queue import HashQueue
from storagedriver_core._hashing import new_hasher


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
        queue = HashQueue({"sha256": new_hasher("sha256")}, 0, AtOnce())
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
