"""Progress: bars on a terminal, a line for each blob in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from storagedriver_registry.client.transfer import OnEvent, TransferEvent
from storagedriver_registry.digest import Digest

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

_SHORT = 12
_DONE = {
    "copied": "copied",
    "present": "already there",
    "mounted": "mounted",
    "verified": "verified",
}


def size_of(count: float) -> str:
    """Spell bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


@contextmanager
def told(*, quiet: bool, console: Console | None = None) -> Iterator[OnEvent]:
    """Give what tells of a transfer's events.

    Args:
        quiet: Tell nothing.
        console: A terminal; by default the standard error output, if it is one.
    """
    if quiet:
        yield lambda event: None
    elif console is None and not sys.stderr.isatty():
        yield _line
    else:
        with _bars(console) as on_event:
            yield on_event


def _line(event: TransferEvent) -> None:
    if event.kind in _DONE:
        digest = f"{event.blob.digest.algorithm}:{event.blob.digest.hex[:_SHORT]}"
        typer.echo(f"{digest}  {size_of(event.blob.size):>10}  {_DONE[event.kind]}", err=True)


@contextmanager
def _bars(console: Console | None) -> Iterator[OnEvent]:
    # Imported here: in a pipe nobody needs them.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[state]}", style="green"),
    )
    tasks: dict[Digest, TaskID] = {}
    with Progress(*columns, console=console or Console(stderr=True)) as bars:

        def on_event(event: TransferEvent) -> None:
            digest = event.blob.digest
            if digest not in tasks:
                tasks[digest] = bars.add_task(
                    digest.hex[:_SHORT], total=event.blob.size or 1, state=""
                )
            if event.kind in _DONE:
                bars.update(tasks[digest], completed=event.blob.size or 1, state=_DONE[event.kind])
            elif event.kind == "moved":
                bars.update(tasks[digest], completed=event.offset)

        yield on_event
