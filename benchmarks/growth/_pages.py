"""What is printed, and what is written to docs/growth.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks._report import DOCUMENT, Report, circumstances, write_section
from benchmarks.growth._curves import LINEAR, Growth, plot
from benchmarks.registry_load._plan import MIB

PAGE = DOCUMENT.with_name("growth.md")


def report(growth: Growth) -> Report:
    """Give one axis as a table: a line for each cost, a column for each size."""
    lines = [
        [
            f"{curve.title} ({growth.unit})",
            *(_figure(cost) for _, cost in curve.points),
            f"{curve.exponent:.2f}",
            "yes" if curve.exponent <= LINEAR else "no",
        ]
        for curve in growth.curves
    ]
    lines.append(
        [
            "server's memory (MiB)",
            *(f"{memory / MIB:,.0f}" for memory in growth.memory),
            *("-", "-"),
        ]
    )
    notes = [circumstances(["storagedriver-registry", "httptools"]), *growth.notes]
    rows = [asdict(curve) | {"exponent": curve.exponent} for curve in growth.curves]
    memory = {"title": "memory", "unit": "bytes", "points": growth.memory}
    columns = [growth.axis, *growth.labels, "exponent", "at most linear"]
    return Report(growth.title, columns, lines, notes, [*rows, memory])


def write_json(path: Path, growths: Iterable[Growth]) -> None:
    """Write the figures to a file."""
    figures = {growth.name: report(growth).to_json() for growth in growths}
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write_page(growths: Sequence[Growth]) -> None:
    """Write tables and pictures."""
    for growth in growths:
        picture = PAGE.with_name(f"growth-{growth.name}.svg")
        picture.write_text(plot(growth), encoding="utf-8")
        text = f"{report(growth).to_markdown()}\n\n![{growth.title}]({picture.name})"
        write_section(growth.name, text, PAGE)


def _figure(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:,.1f}" if cost >= 10 else f"{cost:.2f}"
