"""What is found, and how it is printed: as `storagedriver doctor` does."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import typer

_STEP_WIDTH = 24
_RESULT_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """How one step ended.

    Attributes:
        step: Name of the step.
        result: `left out` where it could not be tried, or is not asked for.
        detail: What was found, in one line.
        error: Class of the error.
        help: Lines that say more.
        facts: The same for programs.
        seconds: How long it took.
    """

    step: str
    result: Literal["ok", "failed", "left out"]
    detail: str = ""
    error: str = ""
    help: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class Report:
    """Prints findings as they come.

    Args:
        as_json: Print an object a line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.is_well = True

    def add(self, finding: Finding) -> None:
        """Print a finding."""
        self.is_well &= finding.result != "failed"
        if self._as_json:
            known = dataclasses.asdict(finding)
            typer.echo(json.dumps({key: value for key, value in known.items() if value}))
            return
        kind = f"{finding.error}: " if finding.error else ""
        head = f"{finding.result:<{_RESULT_WIDTH}}  {finding.step:<{_STEP_WIDTH}}"
        typer.echo(f"{head}  {kind}{finding.detail}".rstrip())
        for line in finding.help:
            typer.echo(" " * (_RESULT_WIDTH + _STEP_WIDTH + 4) + line)
