"""Readers that nobody reads on: they hold no other request up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite.stalled import run_stalled


def test_stalled_readers_hold_nobody_up(
    tmp_path: Path, seaweedfs_bucket: Mapping[str, object]
) -> None:
    run_stalled(S3Harness(tmp_path, {**seaweedfs_bucket, "max_connections": 4}), connections=4)
