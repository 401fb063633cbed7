"""Several client processes that do the same at once, started together."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier

from benchmarks.registry_load._plan import Amount
from benchmarks.registry_load._wire import SECONDS, LoadError

# What it is given was made before, and is large: children share it.
_CONTEXT = multiprocessing.get_context("fork")
Work = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Load:
    """What was done.

    Attributes:
        operations: How many.
        seconds: From the first one's start to the last one's end.
        cpu: CPU that those took who did it, in seconds.
    """

    operations: int
    seconds: float
    cpu: float


def run_crew(
    start: Callable[[int], Work], clients: int, amount: Amount, begin: Callable[[], None]
) -> Load:
    """Have each client start, work once without being measured, and then all work together.

    Args:
        start: Called in each client's process with its number; gives what one operation is.
        clients: How many.
        amount: How much each of them does.
        begin: Called here when all are ready, before they go on.

    Raises:
        LoadError: An operation failed.
    """
    barrier = _CONTEXT.Barrier(clients + 1)
    pipes, processes = [], []
    for number in range(clients):
        reading, writing = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(
            target=_client, args=(start, number, amount, barrier, writing), daemon=True
        )
        process.start()
        # Else the end of the client would not be the end of what it says.
        writing.close()
        pipes.append(reading)
        processes.append(process)
    try:
        try:
            barrier.wait(SECONDS)
            begin()
            barrier.wait(SECONDS)
        except threading.BrokenBarrierError:
            # A client says why.
            pass
        results = [_result(pipe) for pipe in pipes]
    finally:
        barrier.abort()
        for process, pipe in zip(processes, pipes, strict=True):
            process.terminate()
            process.join()
            pipe.close()
    starts, ends, operations, cpu = zip(*results, strict=True)
    return Load(sum(operations), max(ends) - min(starts), sum(cpu))


Result = tuple[float, float, int, float]


def _client(
    start: Callable[[int], Work], number: int, amount: Amount, barrier: Barrier, pipe: Pipe
) -> None:
    try:
        work = start(number)
        work()
        barrier.wait(SECONDS)
        barrier.wait(SECONDS)
        pipe.send(_work(work, amount))
    except threading.BrokenBarrierError:
        pipe.send(LoadError("another client failed"))
    except Exception as exc:
        barrier.abort()
        pipe.send(LoadError(f"client {number}: {exc}"))


def _work(work: Work, amount: Amount) -> Result:
    cpu, started = time.process_time(), time.monotonic()
    deadline = started + amount.seconds if amount.seconds is not None else float("inf")
    most = amount.count if amount.count is not None else float("inf")
    done = 0
    while done < most and time.monotonic() < deadline:
        work()
        done += 1
    return started, time.monotonic(), done, time.process_time() - cpu


def _result(pipe: Pipe) -> Result:
    try:
        result: Result | LoadError = pipe.recv()
    except EOFError:
        raise LoadError("a client ended before it had said anything") from None
    if isinstance(result, LoadError):
        raise result
    return result
