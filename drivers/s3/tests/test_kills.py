"""SIGKILL at random moments of many uploads: nothing durable is lost, nothing partial is seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite.kills import run_kills


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.large)])
def test_writes_that_are_killed_go_on_in_another_process(
    kills: int, tmp_path: Path, seaweedfs_bucket: Mapping[str, object]
) -> None:
    run = run_kills(S3Harness(tmp_path, seaweedfs_bucket), kills)
    assert run.with_token + run.without_token == kills
