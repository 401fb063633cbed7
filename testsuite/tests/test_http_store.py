"""The small store and its driver are right: else a mutation of them would show nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_testsuite import DriverSuite, Harness

from .http_store.harness import HttpHarness


class TestHttpStore(DriverSuite):
    label = "http"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return HttpHarness(tmp_path)
