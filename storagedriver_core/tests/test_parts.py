"""How large parts are, so that everything fits that can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storagedriver_core import Capabilities, LimitExceededError, plan_parts

MIB = 1024**2
GIB = 1024**3
TIB = 1024**4
S3 = Capabilities(
    min_part_size=5 * MIB, max_part_size=5 * GIB, max_parts=10_000, max_object_size=5 * TIB
)


def sizes_of(capabilities: Capabilities, **choice: int) -> list[int]:
    plan = plan_parts(capabilities, **choice)
    assert plan.max_parts is not None
    return [plan.size_of(number) for number in range(1, plan.max_parts + 1)]


def test_greatest_object_fits_without_a_known_size() -> None:
    sizes = sizes_of(S3)
    assert sizes[0] == 8 * MIB
    assert sum(sizes) >= 5 * TIB
    assert sizes == sorted(sizes)
    assert max(sizes) <= 5 * GIB


def test_known_size_makes_parts_that_fit() -> None:
    for size in (1, 80_000 * MIB, 80_000 * MIB + 1, 5 * TIB):
        sizes = sizes_of(S3, max_size=size)
        assert sum(sizes) >= size
        assert len(set(sizes)) == 1
    with pytest.raises(LimitExceededError):
        plan_parts(S3, max_size=5 * TIB + 1)


def test_equal_parts_never_grow() -> None:
    sizes = sizes_of(S3.narrow({"equal_parts": True}))
    assert set(sizes) == {8 * MIB}


def test_parts_are_whole_multiples_of_the_alignment() -> None:
    aligned = S3.narrow({"part_alignment": 256 * 1024})
    for choice in ({}, {"max_size": 3 * TIB + 1}, {"part_size": 5 * MIB + 1}):
        assert all(size % (256 * 1024) == 0 for size in sizes_of(aligned, **choice))


def test_parts_keep_to_the_least_and_the_greatest_size() -> None:
    assert plan_parts(S3, part_size=1).part_size == 5 * MIB
    assert plan_parts(S3, part_size=6 * GIB).part_size == 5 * GIB
    assert plan_parts(Capabilities(max_parts=3), part_size=0).part_size == 1


def test_greatest_part_alone_limits_no_size() -> None:
    plan = plan_parts(Capabilities(max_part_size=MIB), max_size=GIB)
    assert plan.part_size == MIB
    assert plan.fits(1, GIB)


def test_size_that_fits_in_no_choice_of_parts_is_refused() -> None:
    limits = Capabilities(max_part_size=10, max_parts=10)
    assert plan_parts(limits, max_size=100).part_size == 10
    with pytest.raises(LimitExceededError):
        plan_parts(limits, max_size=101)


@given(
    st.integers(1, 40),
    st.integers(1, 50),
    st.integers(1, 3000),
    st.booleans(),
    st.integers(1, 40),
    st.integers(0, 3000),
)
def test_fits_is_exact(
    part: int, most: int, largest: int, equal: bool, number: int, size: int
) -> None:
    limits = Capabilities(
        min_part_size=part, max_parts=most, max_object_size=largest, equal_parts=equal
    )
    plan = plan_parts(limits, part_size=part)
    left = sum(plan.size_of(each) for each in range(number, most + 1))
    assert plan.fits(number, size) == (size <= left)
    if not equal:
        # Growing as they may, parts hold the greatest object.
        assert plan.fits(1, min(largest, part * (2**most - 1)))
