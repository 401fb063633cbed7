"""The shared suite on the inmemory driver through `SyncStorage`."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_inmemory.harness import InMemoryHarness
from storagedriver_testsuite import DriverSuite, Harness, Kit
from storagedriver_testsuite._through_sync import ThroughSync
from storagedriver_testsuite.through_sync import NOT_FROM_THREADS, ThroughSyncSuite

from storagedriver_core import Storage

# Each is a case less: a new one needs a reason that no change of the facade could take away.
LEFT_OUT = {"F05", "K06", "K07", "K11", "L21", "M12", "Q07", "W34", "W35", "W45"}


class TestThroughSyncStorage(ThroughSyncSuite):
    label = "inmemory through SyncStorage"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return InMemoryHarness(tmp_path)

    def test_cases_call_the_facade(self, kit: Kit) -> None:
        assert isinstance(kit.unopened(), ThroughSync)


def test_what_is_left_out_is_known() -> None:
    assert set(NOT_FROM_THREADS) == set(TestThroughSyncStorage.removed) == LEFT_OUT
    assert set(DriverSuite.cases()) >= LEFT_OUT
    assert not TestThroughSyncStorage.deviations


def test_nothing_gets_past_the_facade() -> None:
    public = {name for name in vars(Storage) if not name.startswith("_")}
    assert public - vars(ThroughSync).keys() == set()
