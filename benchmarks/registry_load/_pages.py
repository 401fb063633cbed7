"""What is written to docs/: the table, the picture, and every round's figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import DOCUMENT, Report, write_section
from benchmarks.registry_load._plan import Plan
from benchmarks.registry_load._plot import plot
from benchmarks.registry_load._rounds import Measured
from benchmarks.registry_load._rows import Row
from benchmarks.registry_load._servers import Contender
from benchmarks.registry_load._table import compare

PAGE = DOCUMENT.with_name("registry-speed.md")
CAPTION = "times v3, by its factor over 2.8.2; dots are rounds, blue lines are aims"


def write_json(path: Path, report: Report) -> None:
    """Write every round's figures to a file."""
    path.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")


def write_comparison(
    contenders: Sequence[Contender],
    rows: Sequence[Row],
    plan: Plan,
    measured: Measured,
    report: Report,
) -> None:
    """Write a comparison of two: table, picture and figures."""
    ours, other = (measured[each.name] for each in contenders)
    drawn = [(row, row.title(plan), compare(row, ours[row.name], other[row.name])) for row in rows]
    picture, figures = PAGE.with_suffix(".svg"), PAGE.with_suffix(".json")
    picture.write_text(plot(drawn, CAPTION), encoding="utf-8")
    write_json(figures, report)
    links = f"![{CAPTION}]({picture.name})\n\nEvery round: {{download}}`{figures.name}`."
    write_section("registry_load", f"{report.to_markdown()}\n\n{links}", PAGE)


def write_limits(report: Report) -> None:
    """Write what the generators can do."""
    write_section("registry_limits", report.to_markdown(), PAGE)
