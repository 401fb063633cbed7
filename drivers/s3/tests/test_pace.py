"""Chunks are large for who takes them at once, and small for who does not."""

from __future__ import annotations

from storagedriver_s3._pace import (
    HELD_BY_SOCKETS_BYTES,
    LEAST_BYTES,
    MOST_BYTES,
    QUICK_SECONDS,
    SLOW_SECONDS,
    Pace,
)


class Taker:
    """Takes chunks of one body, each some time after the one before."""

    def __init__(self) -> None:
        self._now = 0.0
        self._pace = Pace(lambda: self._now)

    def takes(self, seconds: float) -> int:
        size = self._pace.size()
        self._pace.gave(size)
        self._now += seconds
        return size


def past_the_sockets(taker: Taker, seconds: float) -> None:
    for _ in range(HELD_BY_SOCKETS_BYTES // LEAST_BYTES):
        assert taker.takes(seconds) == LEAST_BYTES


def test_chunks_grow_while_they_are_taken_at_once() -> None:
    taker = Taker()
    past_the_sockets(taker, 0)
    sizes = [taker.takes(QUICK_SECONDS / 2) for _ in range(6)]
    assert sizes == [min(LEAST_BYTES << doubled, MOST_BYTES) for doubled in range(1, 7)]
    assert sizes[-1] == MOST_BYTES


def test_chunks_of_who_is_slow_are_small_and_become_so() -> None:
    taker = Taker()
    past_the_sockets(taker, 2 * SLOW_SECONDS)
    assert [taker.takes(2 * SLOW_SECONDS) for _ in range(3)] == [LEAST_BYTES] * 3
    for _ in range(10):
        taker.takes(0)
    taker.takes(2 * SLOW_SECONDS)
    assert [taker.takes(2 * SLOW_SECONDS) for _ in range(9)][-1] == LEAST_BYTES


def test_chunks_stay_as_they_are_in_between() -> None:
    taker = Taker()
    past_the_sockets(taker, 0)
    taker.takes(0)
    between = (QUICK_SECONDS + SLOW_SECONDS) / 2
    sizes = {taker.takes(between) for _ in range(10)}
    assert sizes == {4 * LEAST_BYTES}
