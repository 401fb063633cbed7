"""Costs at growing sizes: how steep they are, and a picture with both scales logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks._svg import head, line, text

LINEAR = 1.1
"""The greatest exponent that counts as linear: two rounds of the same differ by as much."""

_WIDTH, _HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 300, 40, 50
_COLORS = ("#1f4e9c", "#b3402a", "#2a7f3f", "#8a5a00", "#6a3d9a", "#444444")


@dataclass(frozen=True, slots=True)
class Curve:
    """One cost.

    Attributes:
        title: Of what.
        points: Size and cost, by growing size.
    """

    title: str
    points: Sequence[tuple[int, float]]

    @property
    def exponent(self) -> float:
        """By which power of the size it grows between the last two sizes: 1 is linear."""
        (x1, y1), (x2, y2) = self.points[-2:]
        return math.log(y2 / y1) / math.log(x2 / x1)


@dataclass(frozen=True, slots=True)
class Growth:
    """What one axis has shown.

    Attributes:
        name: Of the axis.
        title: Of the picture.
        axis: What grows.
        unit: Of the costs in the picture.
        labels: Of the sizes.
        curves: The costs.
        memory: The server's memory at each size, in bytes.
        notes: What one has to know.
    """

    name: str
    title: str
    axis: str
    unit: str
    labels: Sequence[str]
    curves: Sequence[Curve]
    memory: Sequence[int]
    notes: Sequence[str]


def plot(growth: Growth) -> str:
    """Draw the curves; the thin grey line is linear growth."""
    points = [point for curve in growth.curves for point in curve.points]
    sizes = [size for size, _ in growth.curves[0].points]
    low = 10 ** math.floor(math.log10(min(cost for _, cost in points)))
    high = 10 ** (math.floor(math.log10(max(cost for _, cost in points))) + 1)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(size: float) -> float:
        return _LEFT + math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0]) * (right - _LEFT)

    def y(cost: float) -> float:
        return bottom - math.log(cost / low) / math.log(high / low) * (bottom - _TOP)

    def lines() -> Iterator[str]:
        yield from head(_WIDTH, _HEIGHT, growth.title)
        yield text(_LEFT, 16, f"{growth.title} ({growth.unit})", "start")
        for size, label in zip(sizes, growth.labels, strict=True):
            yield line(x(size), _TOP, x(size), bottom, "#ddd")
            yield text(x(size), bottom + 18, label, "middle")
        yield text((_LEFT + right) / 2, bottom + 38, growth.axis, "middle")
        cost = low
        while cost <= high * 1.01:
            yield line(_LEFT, y(cost), right, y(cost), "#ddd")
            yield text(_LEFT - 8, y(cost) + 4, f"{cost:g}", "end")
            cost *= 10
        # As far as it stays in the picture.
        last = min(sizes[-1], sizes[0] * high / low)
        yield line(x(sizes[0]), y(low), x(last), y(low * last / sizes[0]), "#999")
        for number, curve in enumerate(growth.curves):
            color = _COLORS[number % len(_COLORS)]
            path = " ".join(f"{x(size):.1f},{y(cost):.1f}" for size, cost in curve.points)
            yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
            for size, cost in curve.points:
                yield f'<circle cx="{x(size):.1f}" cy="{y(cost):.1f}" r="3" fill="{color}"/>'
            height = _TOP + 10 + 22 * number
            yield line(right + 14, height - 4, right + 34, height - 4, color, 3)
            yield text(right + 40, height, curve.title, "start")
        yield "</svg>\n"

    return "\n".join(lines())
