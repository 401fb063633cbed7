"""The process's log: one handler, on stderr."""

from __future__ import annotations

import logging
import sys

from storagedriver_registry.logs.events import Fields
from storagedriver_registry.logs.formatters import FieldsFormatter

LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
"""The levels, as configurations name them."""


def set_up_logging(
    level: str,
    form: str = "text",
    fields: Fields | None = None,
    *,
    report_caller: bool = False,
) -> None:
    """Log to stderr from now on, in this process and in those that it forks.

    Args:
        level: The least severity, as configurations name it.
        form: `text`, `json` or `logstash`.
        fields: Fields of every line.
        report_caller: Whether a line says where in the program it comes from.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter(form, fields or {}, report_caller=report_caller))
    logging.basicConfig(handlers=[handler], level=LEVELS[level], force=True)
    # The server's own: it warns at each start of being embedded, which is meant to be so, and
    # tells an address that nothing listens at, for it is given a socket.
    logging.getLogger("_granian").setLevel(logging.ERROR)
