"""What came of each case: the file `conformance.json` and the table for people."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FORMAT = 1


@dataclass(slots=True)
class CaseResult:
    """Outcome of one case.

    Attributes:
        outcome: `passed`, `failed`, `xfailed` (a named deviation), `removed` (by name) or
            `not_declared`.
        reason: Why, where it did not simply pass.
        test: Name of the test function.
    """

    outcome: str
    reason: str = ""
    test: str = ""


@dataclass(slots=True)
class SuiteReport:
    """Outcome of one suite on one driver.

    Attributes:
        label: Name of the run.
        driver_name: The driver.
        capabilities: As declared.
        cases: Results by case id.
    """

    label: str
    driver_name: str = ""
    capabilities: dict[str, Any] = field(default_factory=dict)
    cases: dict[str, CaseResult] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Give how many cases had each outcome."""
        return dict(Counter(result.outcome for result in self.cases.values()))

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return {
            "label": self.label,
            "driver": self.driver_name,
            "capabilities": self.capabilities,
            "counts": self.counts(),
            "cases": {
                case_id: {
                    key: value
                    for key, value in (
                        ("outcome", result.outcome),
                        ("reason", result.reason),
                        ("test", result.test),
                    )
                    if value
                }
                for case_id, result in sorted(self.cases.items(), key=_in_order)
            },
        }


def write_reports(path: Path, reports: list[SuiteReport]) -> None:
    """Write `conformance.json`."""
    document = {"format": FORMAT, "suites": [report.to_json() for report in reports]}
    path.write_text(json.dumps(document, indent=2) + "\n")


def print_reports(console: Console, reports: list[SuiteReport]) -> None:
    """Print a table of the groups, and every case that did not pass with its reason."""
    for report in reports:
        table = Table(title=f"{report.label}: driver {report.driver_name}", title_justify="left")
        outcomes = ["passed", "failed", "xfailed", "removed", "not_declared"]
        table.add_column("group")
        for outcome in outcomes:
            table.add_column(outcome.replace("_", " "), justify="right")
        for group in sorted({case_id[0] for case_id in report.cases}):
            counted = Counter(
                result.outcome for key, result in report.cases.items() if key[0] == group
            )
            table.add_row(group, *[str(counted[outcome] or "") for outcome in outcomes])
        total = report.counts()
        table.add_section()
        table.add_row("all", *[str(total.get(outcome, 0)) for outcome in outcomes])
        console.print(table)
        for case_id, result in sorted(report.cases.items(), key=_in_order):
            if result.outcome != "passed":
                reason = result.reason.partition("\n")[0]
                console.print(f"  {case_id} {result.outcome}: {reason}", highlight=False)


def _in_order(item: tuple[str, CaseResult]) -> tuple[str, int]:
    letter, number = re.fullmatch(r"([A-Z])(\d+)", item[0]).groups()  # type: ignore[union-attr]  # ids have this form
    return letter, int(number)
