"""Cases of the suite at their real size: 2 GiB in and out in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_fsspec.harness import LocalHarness, SftpHarness
from storagedriver_testsuite.large import run_large

from servers.sshd import Sshd


@pytest.mark.large
@pytest.mark.parametrize("case_id", ["L22", "Q01"])
def test_case_on_local_files(case_id: str, tmp_path: Path) -> None:
    run_large(LocalHarness(tmp_path), case_id)


@pytest.mark.large
def test_2_gib_over_sftp(sshd: Sshd, sftp_options: dict[str, object]) -> None:
    run_large(SftpHarness(sshd.files, {"protocol": "sftp", "options": sftp_options}), "Q01")
