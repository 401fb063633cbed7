"""Progress on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storagedriver_core.cli._common import shown


@contextmanager
def progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far one file is. Gives the function to call with bytes done and in all."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    # Imported here: it would double the time that every other command takes to start.
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
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(shown(name), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
