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
def told(*, quiet: bool) -> Iterator[OnEvent]:
    """Give what tells of a transfer's events, on the standard error output.

    Args:
        quiet: Tell nothing.
    """
    if quiet:
        yield lambda event: None
    elif not sys.stderr.isatty():
        yield _line
    else:
        # Imported here: in a pipe nobody needs it.
        from rich.console import Console

        bars = Bars(Console(stderr=True))
        with bars.progress:
            yield bars.on_event


def _line(event: TransferEvent) -> None:
    if event.kind in _DONE:
        digest = f"{event.blob.digest.algorithm}:{event.blob.digest.hex[:_SHORT]}"
        typer.echo(f"{digest}  {size_of(event.blob.size):>10}  {_DONE[event.kind]}", err=True)


class Bars:
    """A bar for each blob.

    Attributes:
        progress: What is shown while it is entered.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[state]}", style="green"),
            console=console,
        )
        self._tasks: dict[Digest, TaskID] = {}

    def on_event(self, event: TransferEvent) -> None:
        """Show an event."""
        digest, total = event.blob.digest, event.blob.size or 1
        if digest not in self._tasks:
            name = digest.hex[:_SHORT]
            self._tasks[digest] = self.progress.add_task(name, total=total, state="")
        task = self._tasks[digest]
        if event.kind in _DONE:
            self.progress.update(task, completed=total, state=_DONE[event.kind])
        elif event.kind == "moved":
            self.progress.update(task, completed=event.offset)
