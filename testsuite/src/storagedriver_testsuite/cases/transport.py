"""Faults on the way to a store, at each request of each operation: F01 to F03."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import pytest

from storagedriver_core import (
    OperationTimeoutError,
    PartialDeleteError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    transfer,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._calls import FILE, FaultyCalls, calls
from storagedriver_testsuite.cases._support import OpenAlready, names, with_middleware
from storagedriver_testsuite.proxy import Fault

RETRY_AFTER = 7
HTML = b"<html><head><title>502</title></head><body>bad gateway</body></html>"
SLACK_SECONDS = 30.0

_PROXIED = ("harness.upstream_url", "harness.proxied_driver")


def html(nth: int, times: int | None) -> Fault:
    """Give a rule that answers with a page that says nothing is wrong."""
    headers = {"Content-Type": "text/html; charset=utf-8"}
    return Fault(action="answer", nth=nth, times=times, headers=headers, body=HTML)


def is_temporary(error: StorageDriverError | None) -> bool:
    """Tell whether an error is one of a store that cannot be reached.

    None is an operation that has succeeded without the request, whose result was compared.
    """
    if error is None:
        return True
    return isinstance(error, UnavailableError | PartialDeleteError) and error.temporary


class TransportCases(CaseGroup):
    """What becomes of operations when the connection or an answer is bad."""

    @case("F01", needs=_PROXIED)
    async def test_reset_connection_is_told_as_it_is_and_retried_to_the_right_end(
        self, kit: Kit
    ) -> None:
        faulty = FaultyCalls(kit)
        await faulty.open()
        for call in calls(kit.capabilities):
            requests = await faulty.requests(call)
            assert requests, f"{call.name} reached no proxy"
            refused = await faulty.refuse(call)
            assert refused is not None and is_temporary(refused), f"{call.name}: {refused!r}"
            assert refused.outcome == "none", f"{call.name}: {refused!r}"
            for nth, request in enumerate(requests, 1):
                actions: list[Literal["reset_before", "reset_during", "reset_after"]]
                actions = ["reset_before", "reset_after"]
                if request.sent:
                    actions.append("reset_during")
                for action in actions:
                    # Whatever the client library repeats by itself fails again.
                    error = await faulty.fail(call, Fault(action=action, nth=nth, times=None))
                    assert is_temporary(error), f"{call.name}, {action} at {nth}: {error!r}"
                    await faulty.succeed(call, Fault(action=action, nth=nth))

    @case("F02", needs=_PROXIED)
    async def test_server_errors_are_typed_and_slowness_is_borne_or_timed_out(
        self, kit: Kit
    ) -> None:
        faulty = FaultyCalls(kit)
        await faulty.open()
        for call in calls(kit.capabilities):
            for nth in range(1, 1 + len(await faulty.requests(call))):
                error = await faulty.fail(
                    call, Fault(action="answer", status=500, nth=nth, times=None)
                )
                assert is_temporary(error), f"{call.name}, 500 at {nth}: {error!r}"
                status = 429 if nth % 2 else 503
                busy = Fault(
                    action="answer",
                    status=status,
                    headers={"Retry-After": str(RETRY_AFTER)},
                    nth=nth,
                    times=None,
                )
                error = await faulty.fail(call, busy)
                self._check_throttled(error, f"{call.name}, {status} at {nth}: {error!r}")
                # One fails, and the repetition is told to come again at once.
                failing = Fault(action="answer", status=500, nth=nth)
                again = Fault(action="answer", status=503, headers={"Retry-After": "0"}, nth=nth)
                await faulty.succeed(call, failing, again)
            slow = Fault(action="slow", seconds=0.02, times=None)
            drip = Fault(action="drip", size=len(FILE) // 4, seconds=0.01, times=None)
            for late in (slow,) if call.changes else (slow, drip):
                assert await faulty.fail(call, late) is None, f"{call.name}: {late.action}"
        await self._check_waits(kit, faulty)
        await self._check_hanging(kit, faulty)

    @staticmethod
    def _check_throttled(error: StorageDriverError | None, said: str) -> None:
        errors: list[StorageDriverError] = [error] if error is not None else []
        if isinstance(error, PartialDeleteError):
            errors = [*error.failures.values()]
        for each in errors:
            assert isinstance(each, ThrottledError), said
            assert each.temporary and each.retry_after == RETRY_AFTER, said

    @staticmethod
    async def _check_waits(kit: Kit, faulty: FaultyCalls) -> None:
        await kit.seed("/a", FILE)
        busy = Fault(action="answer", status=503, headers={"Retry-After": "1"})
        async with faulty.proxy.faults(busy):
            started = time.monotonic()
            assert await faulty.retried.get_content("/a") == FILE
            assert time.monotonic() - started >= 1

    @staticmethod
    async def _check_hanging(kit: Kit, faulty: FaultyCalls) -> None:
        driver = kit.harness.proxied_driver(faulty.proxy.url)
        # It has to hang for longer than it may take to open it, on however loaded a machine.
        await driver.open()
        limited = with_middleware(OpenAlready(driver), "timeout", operation=1.0, grace=1.0)
        storage = await kit.open(limited)
        try:
            for use, outcome in [
                (storage.get_content("/a"), "none"),
                (storage.stat("/a"), "none"),
                (storage.put_content("/new", b"new"), "unknown"),
            ]:
                async with faulty.proxy.faults(Fault(action="hang", times=None)):
                    started = time.monotonic()
                    with pytest.raises(OperationTimeoutError) as late:
                        await use
                    assert time.monotonic() - started < SLACK_SECONDS
                    assert late.value.temporary and late.value.outcome == outcome
            assert await driver.get_content("/a") == FILE
        finally:
            await storage.aclose()
            await driver.aclose()

    @case("F03", needs=_PROXIED)
    async def test_broken_answer_is_no_answer(self, kit: Kit) -> None:
        faulty = FaultyCalls(kit)
        await faulty.open()
        for call in calls(kit.capabilities):
            for nth, request in enumerate(await faulty.requests(call), 1):
                error = await faulty.fail(call, html(nth, None))
                assert is_temporary(error), f"{call.name}, HTML at {nth}: {error!r}"
                await faulty.succeed(call, html(nth, 1))
                if request.received and not call.changes:
                    cut = Fault(action="truncate", nth=nth, times=None)
                    error = await faulty.fail(call, cut)
                    assert is_temporary(error), f"{call.name}, cut at {nth}: {error!r}"
                    await faulty.succeed(call, Fault(action="truncate", nth=nth))
        await self._check_wrong_lengths(kit, faulty)
        await self._check_wrong_bytes(kit, faulty)

    @staticmethod
    async def _check_wrong_lengths(kit: Kit, faulty: FaultyCalls) -> None:
        """A length that is wrong, but that the body has: the answer is whole, and too short."""
        await kit.seed("/l/a", FILE)
        async with faulty.proxy.faults(Fault(action="shorten", times=None)):
            with pytest.raises(UnavailableError):
                await names(faulty.bare.list("/l"))
            if kit.capabilities.get_range:
                with pytest.raises(UnavailableError):
                    await faulty.bare.read_ranges("/l/a", [(1, len(FILE) - 1)])
        assert await names(faulty.bare.list("/l")) == ["/l/a"]

    @staticmethod
    async def _check_wrong_bytes(kit: Kit, faulty: FaultyCalls) -> None:
        """A copy that was damaged on the way is found out, by the server or by us."""
        if not (kit.capabilities.upload and kit.capabilities.get_range):
            return
        await kit.seed("/l/source", FILE)
        damage = Fault(action="corrupt_request", method="PUT|POST", times=None)
        async with faulty.proxy.faults(damage):
            with pytest.raises(StorageDriverError):
                await transfer(kit.storage, "/l/source", faulty.bare, "/l/target")
        await asyncio.sleep(0)
        assert (await kit.snapshot("/l")).get("/l/target", FILE) == FILE
