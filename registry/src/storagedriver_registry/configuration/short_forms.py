"""Short forms and old names of distribution's, written out; keys without a value, left out."""

from __future__ import annotations

from typing import Any

from storagedriver_core import Document

# Sections that may be the one name in them: `storage: inmemory`, `auth: none`.
_NAMED = ("storage", "auth")


def write_out(document: Document) -> None:
    """Write out what the sections `storage` and `auth` leave out."""
    for section in _NAMED:
        name = document.data.get(section)
        if isinstance(name, str) and name:
            document.set((section,), {name: {}}, document.origin((section,)))


def leave_out(document: Document) -> None:
    """Leave out the parameters of drivers and controllers that have no value: they are not given.

    Models of sections do so themselves, but these have models of plugins.
    """
    for section in _NAMED:
        named = document.data.get(section)
        if isinstance(named, dict):
            document.data[section] = {name: _with_values(given) for name, given in named.items()}


def _with_values(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    return {name: _with_values(value) for name, value in given.items() if value is not None}


def rename(document: Document) -> None:
    """Call `loglevel` what it is called now, unless that is given as well."""
    level = document.data.pop("loglevel", None)
    log = document.data.get("log") or {}
    if level and isinstance(log, dict) and not log.get("level"):
        document.set(("log", "level"), level, document.origin(("loglevel",)))
