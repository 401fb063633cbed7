"""What a command prints: text of others is shown as text, whatever a terminal would make of it."""

from __future__ import annotations

import sys

import typer


def say(line: str, *, err: bool = False) -> None:
    """Print a line. What a terminal would obey in it is spelled out, line ends too.

    Args:
        line: The line.
        err: Whether it goes to the standard error output.
    """
    if not line.isprintable():
        line = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
        )
    typer.echo(line, err=err)


def write(data: bytes) -> None:
    """Print bytes as they are."""
    sys.stdout.buffer.write(data)
    # What goes wrong is to be known here.
    sys.stdout.buffer.flush()
