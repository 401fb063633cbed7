"""The shared suite on the strict fake and on fake-gcs-server; neither is Google's service."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness

from servers.strict_gcs import StrictGcs

from ._strict import StrictHarness


class TestStrictFake(DriverSuite):
    label = "gcs on the strict fake"

    @pytest.fixture
    def harness(self, tmp_path: Path, strict_gcs: StrictGcs) -> Harness:
        return StrictHarness(tmp_path, strict_gcs)


class TestBenchmarks(DriverBenchmarks):
    label = "gcs on the strict fake"

    @pytest.fixture
    def harness(self, tmp_path: Path, strict_gcs: StrictGcs) -> Harness:
        return StrictHarness(tmp_path, strict_gcs)
