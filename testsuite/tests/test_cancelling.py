"""The case of cancellations, at a store that goes on for a while after them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path

import pytest
from storagedriver_inmemory.harness import InMemoryHarness
from storagedriver_testsuite import DriverSuite, Kit
from storagedriver_testsuite.cases import cancelling

from storagedriver_core import DriverMiddleware, StorageDriver


class Clock:
    """Time that goes on when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class SlowStore(InMemoryHarness):
    """Deletes what it was asked to though nobody waits, and a directory after that.

    Attributes:
        clock: Goes on for as long as the store takes.
        steps: Looks from behind in which a late deletion is still under way; the first one sees
            its files go.
    """

    is_remote = True
    clock = Clock()
    steps = 2

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.late: list[str] = []
        self._steps_left = 0

    async def raw_list(self) -> Sequence[str]:
        for path in self.late:
            await self.driver().delete(path)
            self._steps_left = self.steps
        self.late.clear()
        names = list(await super().raw_list())
        if self._steps_left:
            self._steps_left -= 1
            self.clock.now += 4.0
            names.append("/t/")
        return names


class DeletesLate(DriverMiddleware):
    """Leaves to the store a tree whose deletion was cancelled."""

    harness: SlowStore

    async def delete(self, path: str) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if path == "/t":
                self.harness.late.append(path)
            raise
        await super().delete(path)


def cancel_everywhere(
    directory: Path, monkeypatch: pytest.MonkeyPatch, steps: int = SlowStore.steps
) -> None:
    clock = Clock()
    monkeypatch.setattr(cancelling, "time", clock)
    only = {"delete_tree": cancelling.OPERATIONS["delete_tree"]}
    monkeypatch.setattr(cancelling, "OPERATIONS", only)
    harness = SlowStore(directory)
    harness.clock, harness.steps = clock, steps

    def wrap(driver: StorageDriver) -> StorageDriver:
        late = DeletesLate(driver)
        late.harness = harness
        return late

    kit = Kit(harness, wrap=wrap)
    case = getattr(DriverSuite(), DriverSuite.cases()["F05"])
    kit.run(functools.partial(case, kit))
    assert clock.now > 1000.0, "nothing was late"


def test_store_that_takes_long_for_its_last_step_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel_everywhere(tmp_path, monkeypatch)


def test_store_that_took_all_the_time_for_one_look_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelling, "LATE_SECONDS", 3.0)
    cancel_everywhere(tmp_path, monkeypatch, steps=1)


def test_directory_that_stays_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="left behind"):
        cancel_everywhere(tmp_path, monkeypatch, steps=100)
