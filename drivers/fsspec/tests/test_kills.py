"""SIGKILL at random moments of many uploads: nothing durable is lost, nothing partial is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_fsspec.harness import LocalHarness, SftpHarness
from storagedriver_testsuite.kills import run_kills

from servers.sshd import Sshd

KILLS = [3, pytest.param(100, marks=pytest.mark.large)]


@pytest.mark.parametrize("kills", KILLS)
def test_writes_to_local_files_go_on_in_another_process(kills: int, tmp_path: Path) -> None:
    run = run_kills(LocalHarness(tmp_path), kills)
    assert run.with_token + run.without_token == kills


@pytest.mark.parametrize("kills", KILLS)
def test_writes_over_sftp_go_on_in_another_process(
    kills: int, sshd: Sshd, sftp_options: dict[str, object]
) -> None:
    harness = SftpHarness(sshd.files, {"protocol": "sftp", "options": sftp_options})
    # Most of the time of a process goes into its handshake.
    run = run_kills(harness, kills, most_seconds=1.0)
    assert run.with_token + run.without_token == kills
