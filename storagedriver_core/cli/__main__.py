"""`python -m storagedriver_core.cli`, for where the command is not on the path."""

from __future__ import annotations

from storagedriver_core.cli import main

main()
