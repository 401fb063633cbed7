"""Waiting for what other processes and threads do."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

SECONDS = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; the bound is for what is broken."""
    deadline = monotonic() + SECONDS
    while not condition():
        assert monotonic() < deadline, "it did not come"
        sleep(0.005)
