"""A container of its own on Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_azure.harness import AzureHarness

from servers.azurite import Azurite


@pytest.fixture
def azure_harness(tmp_path: Path, azurite: Azurite) -> AzureHarness:
    return AzureHarness(
        tmp_path,
        {
            "account_name": azurite.account,
            "account_key": azurite.key,
            "container": "conformance",
            "endpoint": azurite.url,
        },
    )
