"""Readers that nobody reads on: they hold no other request up."""

from __future__ import annotations

from pathlib import Path

from storagedriver_azure.harness import AzureHarness
from storagedriver_testsuite.stalled import run_stalled

from servers.azurite import Azurite


def test_stalled_readers_hold_nobody_up(tmp_path: Path, azurite: Azurite) -> None:
    parameters = {
        "account_name": azurite.account,
        "account_key": azurite.key,
        "container": "conformance",
        "endpoint": azurite.url,
        "max_connections": 4,
    }
    run_stalled(AzureHarness(tmp_path, parameters), connections=4)
