"""A budget of requests is exact where a harness widens it."""

from __future__ import annotations

import pytest
from storagedriver_testsuite import ExtraRequests
from storagedriver_testsuite.cases.budgets import check_budget


@pytest.mark.parametrize(("made", "most", "more"), [(1, 1, 0), (1, 2, 0), (3, 1, 2)])
def test_call_within_its_budget_passes(made: int, most: int, more: int) -> None:
    check_budget("put", made, most, more)


@pytest.mark.parametrize(
    ("made", "most", "more"),
    [(0, 1, 0), (2, 1, 0), (4, 1, 2), (2, 1, 2), (1, 1, 2)],
    ids=["none was made", "one too many", "more than said", "fewer than said", "nothing more"],
)
def test_call_outside_of_its_budget_fails(made: int, most: int, more: int) -> None:
    with pytest.raises(AssertionError, match="put: "):
        check_budget("put", made, most, more)


def test_wider_budget_needs_a_reason() -> None:
    ExtraRequests("it looks first", put=1)
    with pytest.raises(ValueError, match="reason"):
        ExtraRequests(put=1)
