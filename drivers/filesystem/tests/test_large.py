"""Cases that come in two sizes, at their real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite.large import run_large


@pytest.mark.large
@pytest.mark.parametrize("case_id", ["K01", "Q01", "W02", "W24"])
def test_case_at_its_real_size(case_id: str, tmp_path: Path) -> None:
    run_large(FilesystemHarness(tmp_path), case_id)
