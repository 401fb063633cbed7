"""The directory in which several processes add up.

prometheus-client maps a file into memory for each process and kind of metric. It looks for the
directory in a variable of the environment, when it is imported.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's name for it."""


@contextmanager
def shared_by_processes() -> Iterator[None]:
    """Let the metrics of processes that are forked in this block be counted together.

    To be entered before anything imports prometheus-client.
    """
    with tempfile.TemporaryDirectory(prefix="registry-metrics-") as directory:
        os.environ[VARIABLE] = directory
        try:
            yield
        finally:
            del os.environ[VARIABLE]


def forget_the_dead(directory: str) -> None:
    """Leave out what dead processes have said of the present. What they have counted stays."""
    for file in Path(directory).glob("gauge_live*_*.db"):
        number = file.stem.rpartition("_")[2]
        if number.isdecimal() and not _is_alive(int(number)):
            file.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
