"""The shared suite on Azurite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness


class TestAzurite(DriverSuite):
    label = "azure on Azurite"
    deviations: ClassVar[Mapping[str, str]] = {
        "U08": "Azurite answers a suffix range (bytes=-5), which the service has not, with it all",
    }

    @pytest.fixture
    def harness(self, azure_harness: Harness) -> Harness:
        return azure_harness


class TestBenchmarks(DriverBenchmarks):
    label = "azure on Azurite"

    @pytest.fixture
    def harness(self, azure_harness: Harness) -> Harness:
        return azure_harness
