"""The signals that stop a server: the first one in order, the second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def die_of(number: int) -> None:
    """End this process by a signal, so that whoever has started it sees which one it was."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # The first process of a container is not killed by its own signals.
    os._exit(128 + number)


def die_of_the_next(loop: asyncio.AbstractEventLoop, signals: Sequence[signal.Signals]) -> None:
    """Let the next signal end this process."""
    for number in signals:
        loop.remove_signal_handler(number)
        if os.getpid() == 1:
            loop.add_signal_handler(number, die_of, number)
        else:
            # No handler: it ends even a process that is stuck.
            signal.signal(number, signal.SIG_DFL)
