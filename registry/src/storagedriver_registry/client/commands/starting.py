"""What `dist` does before its command is known."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command."""
    try:
        _fill_streams()
        # Hundreds of modules come and none of them goes: to look for garbage among them meanwhile
        # costs a seventh of the time until the first request.
        gc.disable()
        from storagedriver_registry.client.commands.cli import app

        gc.freeze()
        gc.enable()
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            # From here on an interrupt has to clear away what there is.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app()
    except KeyboardInterrupt:
        # Before there was anything to interrupt.
        sys.exit(_INTERRUPTED)


def _fill_streams() -> None:
    """See that there are standard streams, whatever the shell has closed or has for an encoding."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one; a connection would get it otherwise.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the encoding does not have is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
