"""`storagedriver doctor`: who we are to a store, what can be reached, and what is missing."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storagedriver_core._config import load_config
from storagedriver_core._errors import ConfigurationError
from storagedriver_core.cli._common import DEFAULT_CONFIG, JsonOption, print_json, shown
from storagedriver_core.cli._config import FileArgument
from storagedriver_core.examination import Finding, Reporter

if TYPE_CHECKING:
    from rich.console import Console

_STEP_WIDTH = 16
_RESULT_WIDTH = 8
_STYLES = {"ok": "green", "failed": "bold red", "left out": "dim"}


def doctor(
    file: FileArgument = DEFAULT_CONFIG,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Leave out everything that writes.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long one step may take.")
    ] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Find out what stands against using a store: who we are, what works, what is missing.

    Goes on after a failure with what can still be tried, and then ends with exit code 1. What it
    writes is called /storagedriver-doctor-…, and is removed in every case. The retry middleware is
    left out, so that a failure shows at once and as it is. With --json an object a line.
    """
    with _reporter(as_json) as reporter:
        try:
            config = load_config(file)
            examination = config.examination(reporter, read_only=read_only, seconds=timeout)
        except ConfigurationError as error:
            reporter.ended(_refused(file, error))
            raise typer.Exit(2) from None
        found = f"{file}: driver {config.driver_name!r}"
        reporter.ended(Finding("configuration", "ok", detail=found))
        is_well = asyncio.run(examination.run())
    if not is_well:
        raise typer.Exit(1)


def _refused(file: Path, error: ConfigurationError) -> Finding:
    """Give the finding for a configuration that cannot be used: a line for each fault."""
    first, *others = error.message.splitlines()
    return Finding(
        "configuration",
        "failed",
        detail=first if str(file) in first else f"{file}: {first}",
        error=type(error).__name__,
        help=tuple(others),
    )


@contextmanager
def _reporter(as_json: bool) -> Iterator[Reporter]:
    if as_json:
        yield _JsonLines()
    elif sys.stdout is not None and sys.stdout.isatty():
        # Imported here, as for progress bars: other commands start without it.
        from rich.console import Console

        reporter = _Terminal(Console(highlight=False, soft_wrap=True))
        try:
            yield reporter
        finally:
            reporter.close()
    else:
        yield _PlainLines()


class _JsonLines:
    """An object a line."""

    def began(self, step: str) -> None:
        pass

    def ended(self, finding: Finding) -> None:
        known = dataclasses.asdict(finding)
        if finding.facts:
            del known["help"]  # says the same to people
        print_json({key: value for key, value in known.items() if value})


class _PlainLines:
    """Text without colours, for pipes and logs."""

    def began(self, step: str) -> None:
        pass

    def ended(self, finding: Finding) -> None:
        head = f"{finding.result:<{_RESULT_WIDTH}}  {finding.step:<{_STEP_WIDTH}}"
        typer.echo(f"{head}  {_line(finding)}".rstrip())
        for line in finding.help:
            typer.echo(_below(line))
        sys.stdout.flush()


class _Terminal:
    """Colours, and a sign of life while a step is under way."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._status.start()

    def began(self, step: str) -> None:
        self._status.update(step)

    def ended(self, finding: Finding) -> None:
        from rich.text import Text

        self._console.print(
            Text(f"{finding.result:<{_RESULT_WIDTH}}  ", style=_STYLES[finding.result])
            + Text(f"{finding.step:<{_STEP_WIDTH}}  ", style="bold")
            + Text(_line(finding))
        )
        for line in finding.help:
            self._console.print(Text(_below(line), style="dim" if finding.result == "ok" else ""))

    def close(self) -> None:
        self._status.stop()


def _line(finding: Finding) -> str:
    kind = f"{finding.error}: " if finding.error else ""
    return kind + shown(finding.detail)


def _below(line: str) -> str:
    return " " * (_RESULT_WIDTH + _STEP_WIDTH + 4) + shown(line)


COMMANDS = (doctor,)
