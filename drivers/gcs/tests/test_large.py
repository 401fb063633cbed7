"""Real sizes on the strict fake, which keeps bodies on disk; in memory that is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_testsuite.large import LARGE_CASES, run_large

from drivers.gcs.tests._strict import StrictHarness
from servers.strict_gcs import StrictGcs

pytestmark = pytest.mark.large


@pytest.mark.parametrize("case_id", LARGE_CASES)
def test_real_sizes(case_id: str, tmp_path: Path, strict_gcs: StrictGcs) -> None:
    run_large(StrictHarness(tmp_path, strict_gcs), case_id)
