"""The comparison of `dist` and skopeo: that it runs, and that the same comes out of both."""

from __future__ import annotations

import pytest

from benchmarks.client import WORKS, run


@pytest.mark.large
@pytest.mark.service("skopeo")
def test_a_quick_run_compares_dist_and_skopeo() -> None:
    rows = run(quick=True).rows
    about = [
        f"{work}: {what}" for what in ("processor", "most memory", "on the wire") for work in WORKS
    ]
    assert [row["name"] for row in rows] == [*WORKS, *about]
    # The layers are nearly all that goes over: of a push and a pull once, of a copy twice.
    for row, times in zip(rows[-len(WORKS) :], (1, 1, 2), strict=True):
        for moved in (row["ours"], row["reference"]):
            assert isinstance(moved, float)
            assert 2 * times <= moved <= 2.1 * times
