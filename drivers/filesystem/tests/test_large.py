"""Cases that come in two sizes, at their real one."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite import DriverSuite, Kit

CASES = {
    "K01": "16 readers of 128 MiB",
    "Q01": "2 GiB in and out, then read again 100 times slower, within 64 MiB",
    "W02": "a stream of 5 GiB",
    "W24": "10 GiB in large and tiny chunks",
}


@pytest.mark.large
@pytest.mark.parametrize("case_id", CASES)
def test_case_at_its_real_size(case_id: str, tmp_path: Path) -> None:
    harness = FilesystemHarness(tmp_path)
    harness.max_seconds = 1800.0
    kit = Kit(harness, large=True)
    function = getattr(DriverSuite(), DriverSuite.cases()[case_id])
    kit.run(functools.partial(function, kit))
