"""SIGKILL at random moments of many uploads: nothing durable is lost, nothing partial is seen."""

from __future__ import annotations

import pytest
from storagedriver_azure.harness import AzureHarness
from storagedriver_testsuite.kills import run_kills


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.large)])
def test_writes_that_are_killed_go_on_in_another_process(
    kills: int, azure_harness: AzureHarness
) -> None:
    run = run_kills(azure_harness, kills)
    assert run.with_token + run.without_token == kills
