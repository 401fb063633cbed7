"""Where `dist` starts."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command."""
    # Hundreds of modules come and none of them goes: to look for garbage among them meanwhile costs
    # a seventh of the time until the first request.
    gc.disable()
    from storagedriver_registry.client.commands.cli import app

    gc.freeze()
    gc.enable()
    app()
