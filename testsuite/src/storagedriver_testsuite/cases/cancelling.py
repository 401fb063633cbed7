"""Cancellation at every point of every operation: F05."""

from __future__ import annotations

import asyncio
import itertools
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from storagedriver_core import Storage, UploadNotFoundError, UploadToken
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit, count_descriptors
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Disturbed, names

OLD, NEW = b"old" * 1000, b"new" * 2000
LARGE = bytes(range(256)) * (5 * PART // 512)  # two parts and a half
BEFORE = {"/a": OLD, "/t/1": OLD, "/t/2": NEW}
Objects = dict[str, bytes]

SETTLING_SECONDS = 10.0
LATE_SECONDS = 30.0  # of a remote store: it may be in a call of its own that takes as long
POOL_GROWTH = 4  # connections; one that leaks at each point is over it soon


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that is cancelled again and again.

    Attributes:
        run: Does it, on a store that holds `BEFORE`.
        after: What the store holds when it is done.
        between: What else the store may hold when it was cancelled.
        path_by_path: It may have been done for some paths and not for the others.
        needs: Capability.
    """

    run: Callable[[Storage], Coroutine[Any, Any, object]]
    after: Objects = field(default_factory=lambda: BEFORE)
    between: Objects | None = None
    path_by_path: bool = False
    needs: str = ""

    def allows(self, objects: Objects) -> bool:
        """Tell whether the store may hold `objects` after a cancellation."""
        if self.path_by_path:
            return all(
                objects.get(path) in (BEFORE.get(path), self.after.get(path))
                for path in BEFORE.keys() | objects.keys()
            )
        return objects in (BEFORE, self.between, self.after)


async def put_stream(storage: Storage) -> None:
    """Store a body that is larger than a part."""
    await storage.put_content("/a", iter([LARGE[:PART], LARGE[PART:]]))


async def write(storage: Storage) -> None:
    """Write and commit."""
    async with await storage.writer("/a") as writer:
        await writer.write(LARGE)
        await writer.commit()


async def write_and_cancel(storage: Storage) -> None:
    """Write and cancel."""
    async with await storage.writer("/a") as writer:
        await writer.write(LARGE)
        await writer.cancel()


async def write_and_leave(storage: Storage) -> None:
    """Write and forget."""
    async with await storage.writer("/a") as writer:
        await writer.write(LARGE)


async def read(storage: Storage) -> None:
    """Read in pieces."""
    async with await storage.reader("/a") as reader:
        while await reader.read(1000):
            pass


async def read_in_parallel(storage: Storage) -> None:
    """Read by several requests at once."""
    async with await storage.reader("/a", concurrency=2, chunk_size=1000) as reader:
        await reader.read()


WITHOUT_A = {path: data for path, data in BEFORE.items() if path != "/a"}
OPERATIONS: dict[str, Operation] = {
    "check": Operation(lambda storage: storage.check()),
    "stat": Operation(lambda storage: storage.stat("/a")),
    "get_content": Operation(lambda storage: storage.get_content("/a")),
    "read": Operation(read),
    "read_in_parallel": Operation(read_in_parallel, needs="get_with_conditions"),
    "list": Operation(lambda storage: names(storage.list("/t", page_size=1))),
    "walk": Operation(lambda storage: names(storage.walk("/", page_size=1))),
    "put_content": Operation(
        lambda storage: storage.put_content("/a", NEW), after={**BEFORE, "/a": NEW}
    ),
    "put_stream": Operation(put_stream, after={**BEFORE, "/a": LARGE}, needs="upload"),
    "write": Operation(write, after={**BEFORE, "/a": LARGE}, needs="upload"),
    "write_and_cancel": Operation(write_and_cancel, needs="upload"),
    "write_and_leave": Operation(write_and_leave, needs="upload"),
    "delete": Operation(lambda storage: storage.delete("/a"), after=WITHOUT_A),
    "delete_tree": Operation(
        lambda storage: storage.delete("/t"), after={"/a": OLD}, path_by_path=True
    ),
    "delete_many": Operation(
        lambda storage: storage.delete_many(list(BEFORE)), after={}, path_by_path=True
    ),
    "move": Operation(
        lambda storage: storage.move("/a", "/b"),
        after={**WITHOUT_A, "/b": OLD},
        between={**BEFORE, "/b": OLD},  # where a move is a copy and a delete
    ),
    "copy": Operation(
        lambda storage: storage.copy("/a", "/b"), after={**BEFORE, "/b": OLD}, needs="copy"
    ),
    "checksum": Operation(
        lambda storage: storage.checksum("/a", storage.capabilities.checksum_algorithms[0]),
        needs="checksum_algorithms",
    ),
    "list_uploads": Operation(
        lambda storage: storage.purge_uploads(older_than=timedelta(days=1)), needs="list_uploads"
    ),
}


class CancellingCases(CaseGroup):
    """Whoever waits may stop waiting, anywhere."""

    @case("F05")
    async def test_cancellation_at_any_point_leaks_nothing_and_halves_nothing(
        self, kit: Kit
    ) -> None:
        # A pause before each call of the driver makes a point of it, also where it never waits.
        paused = Disturbed(kit.wrapped_driver(), _after_a_pause)
        storage = await kit.open_parts(driver=paused)
        for name, operation in OPERATIONS.items():
            if operation.needs and not getattr(kit.capabilities, operation.needs):
                continue
            for late in (False, True):
                await self._cancel_everywhere(kit, storage, name, operation, late=late)
        if kit.capabilities.upload:
            await self._cancel_resumed_writers(kit, storage)

    async def _cancel_everywhere(
        self, kit: Kit, storage: Storage, name: str, operation: Operation, *, late: bool
    ) -> None:
        await operation_on_fresh_store(kit, operation.run(storage))  # pools have grown now
        # SQLite, for one, keeps the descriptor of a look from behind until its next unlock.
        await kit.harness.raw_list()
        descriptors = count_descriptors()
        if kit.harness.is_remote:
            # How many requests were under way at once is chance, and so is the pool's size.
            descriptors += POOL_GROWTH
        for point in itertools.count():
            work = cancelled_at(operation.run(storage), point, late=late)
            finished = await operation_on_fresh_store(kit, work)
            where = f"{name} cancelled at point {point}, {'late' if late else 'at once'}"
            await settle(descriptors, where)
            objects, left = await _looked_through(kit)
            assert operation.allows(objects), f"{where}: {_summary(objects)}"
            assert len(left) == len(objects), f"{where}: left behind: {left}"
            if finished:
                assert objects == operation.after
                return

    async def _cancel_resumed_writers(self, kit: Kit, storage: Storage) -> None:
        """What a token promises outlives every cancellation of those who resume it."""
        tokens: list[UploadToken] = []

        async def go_on() -> None:
            async with await storage.resume(tokens[-1]) as writer:
                await writer.write(LARGE[PART + 1 :])
                tokens.append(await writer.suspend())
            async with await storage.resume(tokens[-1]) as writer:
                await writer.commit()

        for late in (False, True):
            for point in itertools.count():
                async with await storage.writer("/w") as writer:
                    await writer.write(LARGE[: PART + 1])
                    tokens.append(await writer.suspend())
                finished = await cancelled_at(go_on(), point, late=late)
                where = f"resumed writer cancelled at point {point}"
                await settle(None, where)
                try:
                    await self._go_on(storage, tokens[-1])
                except UploadNotFoundError:
                    # At a remote store a cancelled commit may still be acted on, after the upload
                    # was found in progress. Then it is found committed.
                    if not kit.harness.is_remote:
                        raise
                    await self._go_on(storage, tokens[-1])
                assert await kit.peek("/w") == LARGE, where
                await storage.delete("/w")
                if finished:
                    break

    @staticmethod
    async def _go_on(storage: Storage, token: UploadToken) -> None:
        async with await storage.resume(token) as writer:
            if writer.offset < len(LARGE):
                await writer.write(LARGE[writer.offset :])
            await writer.commit()


async def operation_on_fresh_store(kit: Kit, work: Coroutine[Any, Any, Any]) -> Any:
    """Make the store hold `BEFORE`, and nothing else; then do the work."""
    present = await _objects(kit)
    for path in present.keys() - BEFORE.keys():
        await kit.storage.delete(path)
    for path, data in BEFORE.items():
        if present.get(path) != data:
            await kit.seed(path, data)
    return await work


async def cancelled_at(work: Coroutine[Any, Any, object], point: int, *, late: bool) -> bool:
    """Run `work` in a task and cancel it at its suspension number `point`.

    Args:
        work: What to do.
        point: Counts the times that the task waits, from 0.
        late: Cancel when what it waits for has come, just before the task would see that; else as
            soon as it waits.

    Returns:
        Whether it was done before that point.
    """

    async def run() -> bool:
        return await _step_by_step(work, point, late)

    task = asyncio.create_task(run())
    try:
        return await task
    except asyncio.CancelledError:
        return False


@types.coroutine
def _step_by_step(
    work: Coroutine[Any, Any, object], point: int, late: bool
) -> Generator[Any, Any, bool]:
    task = asyncio.current_task()
    assert task is not None
    error: BaseException | None = None
    for number in itertools.count():
        try:
            awaited = work.send(None) if error is None else work.throw(error)
        except StopIteration:
            assert number <= point, "the cancellation was swallowed"
            return True
        if number == point:
            if late and awaited is not None:
                # Before the task asks to be told: the callback comes first.
                awaited.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        error = None
        try:
            yield awaited
        except BaseException as raised:
            error = raised
    raise AssertionError  # count never ends


async def settle(descriptors: int | None, where: str) -> None:
    """Wait until no other task runs and no more descriptors are open than before."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        now = count_descriptors()
        if not tasks and (descriptors is None or now <= descriptors):
            return
        assert time.monotonic() < deadline, (
            f"{where}: tasks {tasks}, descriptors {descriptors} -> {now}"
        )
        await asyncio.sleep(0.001)


async def _after_a_pause(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
    await asyncio.sleep(0)
    return await call()


async def _objects(kit: Kit) -> Objects:
    while True:
        paths = await names(kit.storage.walk("/"))
        try:
            return {path: await kit.peek(path) for path in paths}
        except Exception:
            # At a remote store a cancelled request may still be acted on, between two looks.
            if paths == await names(kit.storage.walk("/")):
                raise


async def _looked_through(kit: Kit) -> tuple[Objects, list[str]]:
    """Give what shows, and everything that is there.

    At a remote store a cancelled request may still be acted on between the two looks, or not have
    come to its end: a tree's directories go after its files.
    """
    patience = LATE_SECONDS if kit.harness.is_remote else 0.0
    deadline = time.monotonic() + patience
    while True:
        # Two looks count in the end only if both were made then.
        is_last = time.monotonic() >= deadline
        objects = await _objects(kit)
        left = sorted(await kit.harness.raw_list())
        if len(left) == len(objects) or is_last:
            return objects, left
        await asyncio.sleep(0.01)


def _summary(objects: Objects) -> dict[str, str]:
    return {path: f"{data[:3]!r} of {len(data)}" for path, data in objects.items()}
