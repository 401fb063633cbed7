"""The shared suite on Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_azure.harness import AzureHarness
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness

from servers.azurite import Azurite


@pytest.fixture
def azure_harness(tmp_path: Path, azurite: Azurite) -> Harness:
    return AzureHarness(
        tmp_path,
        {
            "account_name": azurite.account,
            "account_key": azurite.key,
            "container": "conformance",
            "endpoint": azurite.url,
        },
    )


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
