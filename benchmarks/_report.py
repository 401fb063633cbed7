"""What a benchmark found: a table for the terminal and for the documentation, and JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks._measure import Row

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"

# Waiting for a core, for each core: server, store, load and client are about two.
_BUSY = 2.5

# Wide enough for the names, whatever the terminal: the table is read in files, too.
_WIDTH = 160


@dataclass(frozen=True)
class Report:
    """One table.

    Attributes:
        title: What was compared.
        columns: Headings.
        lines: Cells, by line.
        notes: What one has to know to read it.
        rows: The same for programs, and more exactly.
        further: A second table of the same run.
    """

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    notes: Sequence[str]
    rows: Sequence[Mapping[str, object]]
    further: Report | None = None

    def print(self) -> None:
        """Print the table and its notes."""
        table = Table(title=self.title, title_justify="left")
        for column in self.columns:
            table.add_column(column, justify="left" if column == self.columns[0] else "right")
        for line in self.lines:
            table.add_row(*line)
        console = Console(width=_WIDTH)
        console.print(table)
        for note in self.notes:
            console.print(f"- {note}", markup=False, highlight=False)
        if self.further is not None:
            self.further.print()

    def to_markdown(self) -> str:
        """Give a table and a list."""
        lines = [self.columns, ["---", *("---:" for _ in self.columns[1:])], *self.lines]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "\n".join(f"- {note}" for note in self.notes)
        further = [self.further.to_markdown()] if self.further is not None else []
        return "\n\n".join(filter(None, [self.title, table, notes, *further]))

    def to_json(self) -> Mapping[str, object]:
        """Give what a program may want."""
        return {"title": self.title, "notes": list(self.notes), "rows": list(self.rows)}


def report_of(title: str, rows: Sequence[Row], packages: Sequence[str]) -> Report:
    """Make a report of comparisons of two."""
    return Report(
        title,
        ("what", "ours", "reference", "unit", "figure", "aim", "holds", "spread"),
        [
            (
                row.name,
                f"{row.ours:,.1f}",
                f"{row.reference:,.1f}",
                row.unit,
                row.figure,
                row.aim,
                "yes" if row.holds else "no",
                f"{row.spread:.2f}",
            )
            for row in rows
        ],
        [circumstances(packages)],
        [asdict(row) for row in rows],
    )


def circumstances(packages: Sequence[str], others: Sequence[str] = ()) -> str:
    """Tell when and on what it was measured.

    Args:
        packages: Distributions whose versions matter.
        others: Programs with their versions.
    """
    day = datetime.now(UTC).date().isoformat()
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    versions = [f"{package} {version(package)}" for package in dict.fromkeys(packages)]
    return f"Measured {day}: {machine}; {', '.join((*versions, *others))}.{_business()}"


def _business() -> str:
    """Tell of a machine that does much else: what is measured keeps no more than a few busy."""
    load, cores = os.getloadavg()[1], os.cpu_count() or 1
    if load <= _BUSY * cores:
        return ""
    return (
        f" The machine was busy with other work (load {load:.0f} on {cores} cores): times are "
        "several times too long, and ratios rough."
    )


def write_section(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Put a text in the documentation, in place of the one before it.

    Args:
        name: Of the section, as the document's comments have it.
        text: A report as Markdown.
        document: The page.

    Raises:
        ValueError: The document has no place for it.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    page = document.read_text(encoding="utf-8")
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{document.name} has no {begin} with an {end}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
