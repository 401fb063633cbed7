"""Alternating rounds of two ways to do one thing, and what came out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        name: What was done.
        ours: What ours came to, in `unit`.
        reference: What the other came to, in `unit`.
        unit: Unit of both.
        figure: What is judged, as text.
        aim: What is aimed at, as text.
        holds: Whether the aim was met in this run.
        spread: Greatest over least of our rounds.
    """

    name: str
    ours: float
    reference: float
    unit: str
    figure: str
    aim: str
    holds: bool
    spread: float


def alternate(
    ours: Callable[[], None], reference: Callable[[], None], *, rounds: int
) -> tuple[list[float], list[float]]:
    """Time both in turn, after one unmeasured round of each; seconds of each round."""
    ours()
    reference()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, seconds in zip((ours, reference), times, strict=True):
            begun = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - begun)
    return times


def speed_row(
    name: str, amount: float, unit: str, ours: list[float], reference: list[float], aim: float
) -> Row:
    """Compare two speeds by their medians: the aim is a least ratio of ours to the reference."""
    mine = amount / statistics.median(ours)
    other = amount / statistics.median(reference)
    ratio = mine / other
    return Row(
        name,
        mine,
        other,
        unit,
        f"{ratio:.2f} x",
        f">= {aim:.2f} x",
        ratio >= aim,
        max(ours) / min(ours),
    )


def overhead_row(
    name: str, count: int, ours: list[float], reference: list[float], aim: float
) -> Row:
    """Compare two costs of a call: the aim is a greatest difference in microseconds.

    Of each the least of its rounds counts: what else the machine does only adds to it, and to a
    difference of a few microseconds more than that.
    """
    mine = min(ours) / count * 1e6
    other = min(reference) / count * 1e6
    return Row(
        name,
        mine,
        other,
        "µs",
        f"{mine - other:+.1f} µs",
        f"<= {aim:.0f} µs",
        mine - other <= aim,
        max(ours) / min(ours),
    )
