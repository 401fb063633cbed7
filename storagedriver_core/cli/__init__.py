"""The `storagedriver` command.

Exit codes: 0 done; 1 the operation failed; 2 wrong usage or configuration; 130 interrupted.
Results go to standard output; errors, notes and progress to standard error.
"""

from __future__ import annotations

from storagedriver_core.cli._app import main

__all__ = ["main"]
