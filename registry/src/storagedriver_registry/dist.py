"""Where the `dist` command starts: before anything is imported that takes a while."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command."""
    # As long as there is nothing to clear away, an interrupt is the end, without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from storagedriver_registry.client.commands.starting import main as run

    run()
