"""Readers that nobody reads on: they hold no other request up."""

from __future__ import annotations

from pathlib import Path

from storagedriver_testsuite.stalled import run_stalled

from drivers.gcs.tests._strict import StrictHarness
from servers.strict_gcs import StrictGcs


def test_stalled_readers_hold_nobody_up(tmp_path: Path, strict_gcs: StrictGcs) -> None:
    run_stalled(StrictHarness(tmp_path, strict_gcs, maxconcurrency=4), connections=4)
