"""Where `dist` starts."""

from __future__ import annotations

import gc
import io
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command."""
    # A name that the terminal's encoding does not have is no reason to fail.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # Hundreds of modules come and none of them goes: to look for garbage among them meanwhile
        # costs a seventh of the time until the first request.
        gc.disable()
        from storagedriver_registry.client.commands.cli import app

        gc.freeze()
        gc.enable()
        app()
    except KeyboardInterrupt:
        # Before there was anything to interrupt.
        sys.exit(_INTERRUPTED)
