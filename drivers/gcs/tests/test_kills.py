"""SIGKILL in the middle of uploads, on the strict fake: a fake, so nothing is shown of Google."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_testsuite.kills import run_kills

from drivers.gcs.tests._strict import StrictHarness
from servers.strict_gcs import StrictGcs


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.large)])
def test_uploads_that_are_killed_go_on_in_another_process(
    kills: int, tmp_path: Path, strict_gcs: StrictGcs
) -> None:
    run = run_kills(StrictHarness(tmp_path, strict_gcs), kills)
    assert run.with_token + run.without_token == kills
    assert len(run.committed) == run.with_token
