"""Cases of the suite at their real size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite.large import run_large


@pytest.mark.large
@pytest.mark.parametrize("case_id", ["L22", "Q01", "Q08"])
def test_case_at_its_real_size(
    case_id: str, tmp_path: Path, seaweedfs_bucket: Mapping[str, object]
) -> None:
    run_large(S3Harness(tmp_path, seaweedfs_bucket), case_id)
