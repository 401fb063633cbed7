"""The ratios of a comparison as a picture: some lines and dots of SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks._svg import head, line, text
from benchmarks.registry_load._rows import Row
from benchmarks.registry_load._table import Compared

_WIDTH, _LEFT, _RIGHT = 860, 230, 70
_TOP, _STEP = 40, 34
_GRID = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def plot(rows: Sequence[tuple[Row, str, Compared]], caption: str) -> str:
    """Draw each row's speed as a multiple of v3's, on a logarithmic scale.

    Args:
        rows: Each with its title.
        caption: What the scale shows.
    """
    shown = [value for row, _, compared in rows for value in (row.aim, *compared.v3_ratios, 1.0)]
    low, high = min(shown) / 1.3, max(shown) * 1.3
    height = _TOP + _STEP * len(rows) + 20

    def x(value: float) -> float:
        share = math.log(value / low) / math.log(high / low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def lines() -> Iterator[str]:
        yield from head(_WIDTH, height, caption)
        yield text(_LEFT, 16, caption, "start")
        for value in _GRID:
            if low <= value <= high:
                color = "#333" if value == 1 else "#ddd"
                yield line(x(value), _TOP - 6, x(value), height - 20, color)
                yield text(x(value), height - 6, f"{value:g}", "middle")
        for number, (row, title, compared) in enumerate(rows):
            y = _TOP + _STEP * number + _STEP / 2
            color = "#2a7f3f" if compared.holds else "#b3402a"
            yield text(_LEFT - 10, y + 4, title, "end")
            start, end = sorted((x(1.0), x(compared.v3_ratio)))
            yield (
                f'<rect x="{start:.1f}" y="{y - 7:.1f}" width="{end - start:.1f}" height="14" '
                f'fill="{color}" fill-opacity="0.45"/>'
            )
            for value in compared.v3_ratios:
                yield f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>'
            yield line(x(row.aim), y - 12, x(row.aim), y + 12, "#1f4e9c", 3)
            yield text(_WIDTH - _RIGHT + 10, y + 4, f"{compared.v3_ratio:.2f}", "start")
        yield "</svg>\n"

    return "\n".join(lines())
