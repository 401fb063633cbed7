"""The comparison of `dist` and skopeo: that it runs, and that the same comes out of both."""

from __future__ import annotations

import pytest

from benchmarks.client import WORKS, run


@pytest.mark.large
@pytest.mark.service("skopeo")
def test_a_quick_run_compares_dist_and_skopeo() -> None:
    rows = run(quick=True).rows
    memory = [f"{work}: most memory" for work in WORKS]
    assert [row["name"] for row in rows] == [*WORKS, *memory]
