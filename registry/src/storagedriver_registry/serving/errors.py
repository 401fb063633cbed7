"""What stops a start."""

from __future__ import annotations


class StartError(Exception):
    """The server could not start; the text says why."""
