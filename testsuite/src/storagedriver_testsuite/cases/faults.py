"""Faults of the store and on the way to it: F04 to F09, but for those in `cancelling`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from storagedriver_core import (
    ConfigurationError,
    NoSpaceError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriver,
    UnavailableError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._calls import FaultyCalls, calls
from storagedriver_testsuite.cases._support import Disturbed, OpenAlready, names, with_middleware
from storagedriver_testsuite.proxy import Fault

MIB = 1024 * 1024
# What a loaded machine may add to a bound; what hangs takes longer.
SLACK_SECONDS = 30.0


class LostReplies:
    """Lets the first call of each kind reach the driver, and loses its reply.

    Attributes:
        lost: The kinds of calls whose reply was lost.
    """

    def __init__(self, *operations: str) -> None:
        self.lost: set[str] = set()
        self._operations = operations

    async def __call__(self, operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
        result = await call()
        if operation in self._operations and operation not in self.lost:
            self.lost.add(operation)
            raise UnavailableError("the reply was lost", outcome="unknown")
        return result


class FaultCases(CaseGroup):
    """What becomes of data and callers when something goes wrong."""

    @case("F04", needs=("upload",))
    async def test_lost_reply_is_retried_safely_or_reported_as_unknown(self, kit: Kit) -> None:
        declared, data = kit.capabilities, kit.random_bytes(2 * PART + 100)
        changes = ("put_content", "delete", "move", "copy", "put_part", "complete_upload")
        replies = LostReplies(*changes)
        retried = _retrying(Disturbed(kit.wrapped_driver(), replies))
        storage = await kit.open_parts(driver=retried)
        if declared.put_if_absent:
            await storage.put_content("/a", b"content", if_absent=True)
        else:
            await storage.put_content("/a", b"content")
        async with await storage.writer("/w") as writer:
            await writer.write(data)
            await writer.commit()
        assert await kit.peek("/a") == b"content"
        assert await kit.peek("/w") == data
        if declared.copy:
            await storage.copy("/a", "/copied")
            assert await kit.peek("/copied") == b"content"
        await storage.move("/a", "/moved")
        assert await kit.peek("/moved") == b"content"
        await storage.delete("/moved")
        rest = {"/w", "/copied"} if declared.copy else {"/w"}
        assert set(await names(kit.storage.walk("/"))) == rest
        assert replies.lost == set(changes) - (set() if declared.copy else {"copy"})

        replies = LostReplies("complete_upload", "put_content")
        bare = await kit.open(Disturbed(kit.wrapped_driver(), replies))
        with pytest.raises(UnavailableError) as lost:
            await bare.put_content("/b", b"content")
        assert lost.value.outcome == "unknown" and lost.value.temporary
        async with await bare.writer("/v") as writer:
            await writer.write(data)
            with pytest.raises(UnavailableError) as lost:
                await writer.commit()
            assert lost.value.outcome == "unknown"
            assert (await writer.commit()).size == len(data)
        assert await kit.peek("/v") == data
        if kit.harness.offers("proxied_driver"):
            await self._check_lost_answers(kit)

    @staticmethod
    async def _check_lost_answers(kit: Kit) -> None:
        """Lose one answer alone: what a client library repeats by itself finds its own traces.

        That must not be told as somebody else's doing.
        """
        faulty = FaultyCalls(kit)
        await faulty.open()
        for call in calls(kit.capabilities):
            if call.changes:
                for nth in range(1, 1 + len(await faulty.requests(call))):
                    error = await faulty.fail(call, Fault(action="reset_after", nth=nth))
                    assert error is None or error.temporary, f"{call.name} at {nth}: {error!r}"
                    assert error is None or error.outcome != "applied", call.name

    @case("F06")
    async def test_retries_and_timeouts_end_in_the_declared_time(self, kit: Kit) -> None:
        calls, patience, longer = 0, 0.02, 0.05
        # The opening would have to be done in that time, too, on however loaded a machine.
        opened = kit.wrapped_driver()
        await opened.open()

        async def hang(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal calls
            calls += 1
            await asyncio.Event().wait()

        async def fail(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal calls
            calls += 1
            raise UnavailableError

        def hung() -> StorageDriver:
            driver = Disturbed(OpenAlready(opened), hang)
            return with_middleware(driver, "timeout", operation=patience, grace=0.01)

        def failing(**parameters: float) -> StorageDriver:
            driver = Disturbed(OpenAlready(opened), fail)
            return _retrying(driver, attempts=1_000_000, **parameters)

        # How often is tried in a given time is the machine's affair.
        cases: list[tuple[StorageDriver, type[Exception], float, int]] = [
            (_retrying(hung(), attempts=3), OperationTimeoutError, 3 * (patience + 0.02), 3),
            (failing(total=0.05), UnavailableError, 0.05, 1),
            (
                with_middleware(failing(total=1000), "timeout", operation=longer, grace=0.01),
                OperationTimeoutError,
                longer + 0.01,
                1,
            ),
        ]
        try:
            for driver, kind, bound, least in cases:
                storage, calls = await kit.open(driver), 0
                started = time.monotonic()
                with pytest.raises(kind):
                    await storage.get_content("/a")
                assert time.monotonic() - started < bound + SLACK_SECONDS
                assert calls >= least
        finally:
            await opened.aclose()

    @case("F07", needs=("upload",))
    async def test_body_that_was_begun_is_never_replayed_from_its_middle(self, kit: Kit) -> None:
        pieces = [kit.random_bytes(PART * 3 // 4 + number) for number in range(6)]
        begun = given = 0
        attempts = 0

        async def body(count: int) -> AsyncIterator[bytes]:
            nonlocal begun, given
            begun += 1
            for piece in pieces[:count]:
                given += 1
                yield piece

        async def fail_in_turn(
            operation: str, path: str, call: Callable[[], Awaitable[Any]]
        ) -> Any:
            nonlocal attempts
            if operation in ("put_part", "put_content", "complete_upload"):
                attempts += 1
                if attempts % 2:
                    if attempts % 4 == 1:  # one body is lost before it came, the next after
                        await call()
                    raise UnavailableError(outcome="unknown")
            return await call()

        def failing() -> StorageDriver:
            return Disturbed(kit.wrapped_driver(), fail_in_turn)

        storage = await kit.open_parts(driver=_retrying(failing(), attempts=50))
        for path, count in [("/small", 1), ("/large", len(pieces))]:
            begun = given = 0
            await storage.put_content(path, body(count))
            assert (begun, given) == (1, count)
            assert await kit.peek(path) == b"".join(pieces[:count])

        storage, attempts, begun = await kit.open_parts(driver=failing()), 2, 0
        with pytest.raises(UnavailableError):
            await storage.put_content("/none", body(len(pieces)))
        assert begun == 1
        with pytest.raises(PathNotFoundError):
            await kit.storage.stat("/none")

    @case("F08", needs=("upload", "harness.full_store"))
    async def test_full_store_is_told_publishes_nothing_and_gets_its_space_back(
        self, kit: Kit
    ) -> None:
        storage, data = kit.storage, kit.random_bytes(4 * MIB)
        await kit.seed("/a", b"old")
        writer = await storage.writer("/w")
        await writer.write(data[:MIB])
        token = await writer.suspend()
        before = sorted(await kit.harness.raw_list())

        async def write(path: str) -> None:
            async with await storage.writer(path) as writer:
                for start in range(0, len(data), MIB):
                    await writer.write(data[start : start + MIB])
                await writer.commit()

        async def go_on() -> None:
            async with await storage.resume(token) as writer:
                await writer.write(data[MIB:])
                await writer.commit()

        with kit.harness.full_store():
            refused: list[tuple[Awaitable[object], str]] = [
                (storage.put_content("/a", data), "/a"),
                (storage.put_content("/new", data), "/new"),
                (storage.put_content("/new", iter([data, data])), "/new"),
                (write("/a"), "/a"),
                (write("/new"), "/new"),
                (go_on(), "/w"),
            ]
            for call, path in refused:
                with pytest.raises(NoSpaceError) as full:
                    await call
                assert full.value.path == path and full.value.outcome == "none"
            assert await storage.get_content("/a") == b"old"
        assert await kit.peek("/a") == b"old"
        assert await names(storage.walk("/")) == ["/a"]
        assert sorted(await kit.harness.raw_list()) == before
        await go_on()
        await storage.put_content("/a", data)
        assert await kit.peek("/w") == await kit.peek("/a") == data

    @case("F09", needs=("upload", "harness.read_only_store", "harness.removed_store"))
    async def test_store_that_refuses_or_is_gone_gives_typed_errors_and_comes_back(
        self, kit: Kit
    ) -> None:
        storage, data = kit.storage, kit.random_bytes(2 * MIB)
        await kit.seed("/a", b"old")
        writer = await storage.writer("/a")
        await writer.write(data[:MIB])
        token = await writer.suspend()

        async def go_on() -> None:
            async with await storage.resume(token) as writer:
                await writer.write(data[MIB:])
                await writer.commit()

        with kit.harness.read_only_store():
            with pytest.raises(PermissionDeniedError):
                await go_on()
            if kit.capabilities.list_uploads:
                with pytest.raises(PermissionDeniedError):
                    await storage.purge_uploads(older_than=timedelta(days=-1))
            assert await storage.get_content("/a") == b"old"
        with kit.harness.removed_store():
            gone: list[Awaitable[object]] = [
                storage.get_content("/a"),
                storage.stat("/a"),
                names(storage.list("/")),
                storage.put_content("/b", b"new"),
                storage.delete("/a", missing_ok=True),
                storage.move("/a", "/b"),
                go_on(),
            ]
            for call in gone:
                with pytest.raises((ConfigurationError, UnavailableError)):
                    await call
        assert await kit.peek("/a") == b"old"
        assert await names(storage.walk("/")) == ["/a"]
        await go_on()
        assert await kit.peek("/a") == data


def _retrying(driver: StorageDriver, **parameters: Any) -> StorageDriver:
    return with_middleware(driver, "retry", base_delay=0.001, max_delay=0.001, **parameters)
