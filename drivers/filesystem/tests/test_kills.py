"""SIGKILL at random moments of many writes: nothing durable is lost, nothing partial is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite.kills import run_kills


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.large)])
def test_writes_that_are_killed_go_on_in_another_process(kills: int, tmp_path: Path) -> None:
    run = run_kills(FilesystemHarness(tmp_path), kills, most_seconds=0.08)
    assert run.with_token + run.without_token == kills
