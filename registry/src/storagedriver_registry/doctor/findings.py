"""How findings are printed: as `storagedriver doctor` does."""

from __future__ import annotations

import dataclasses
import json

import typer

from storagedriver_core import Finding

_STEP_WIDTH = 24
_RESULT_WIDTH = 8


class Report:
    """Prints findings as they come.

    Args:
        as_json: Print an object a line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.is_well = True

    def began(self, step: str) -> None:
        """Hear that a step of the storage's examination is under way."""

    def ended(self, finding: Finding) -> None:
        """Hear how a step of the storage's examination ended."""
        self.add(dataclasses.replace(finding, step=f"storage: {finding.step}"))

    def add(self, finding: Finding) -> None:
        """Print a finding."""
        self.is_well &= finding.result != "failed"
        if self._as_json:
            known = dataclasses.asdict(finding)
            if finding.facts:
                del known["help"]  # says the same to people
            typer.echo(json.dumps({key: value for key, value in known.items() if value}))
            return
        kind = f"{finding.error}: " if finding.error else ""
        head = f"{finding.result:<{_RESULT_WIDTH}}  {finding.step:<{_STEP_WIDTH}}"
        typer.echo(f"{head}  {kind}{finding.detail}".rstrip())
        for line in finding.help:
            typer.echo(" " * (_RESULT_WIDTH + _STEP_WIDTH + 4) + line)
