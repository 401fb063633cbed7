"""The shared suite on Azurite."""

from __future__ import annotations

import pytest
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness


class TestAzurite(DriverSuite):
    label = "azure on Azurite"

    @pytest.fixture
    def harness(self, azure_harness: Harness) -> Harness:
        return azure_harness


class TestBenchmarks(DriverBenchmarks):
    label = "azure on Azurite"

    @pytest.fixture
    def harness(self, azure_harness: Harness) -> Harness:
        return azure_harness
