"""The shared suite on the inmemory driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_inmemory.harness import InMemoryHarness
from storagedriver_testsuite import DriverSuite, Harness


class TestInMemory(DriverSuite):
    label = "inmemory"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return InMemoryHarness(tmp_path)
