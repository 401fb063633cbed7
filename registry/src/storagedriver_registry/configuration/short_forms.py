"""Short forms and old names of distribution's, written out."""

from __future__ import annotations

from storagedriver_core import Document

# Sections that may be the one name in them: `storage: inmemory`, `auth: none`.
_NAMED = ("storage", "auth")


def write_out(document: Document) -> None:
    """Write out what the sections `storage` and `auth` leave out."""
    for section in _NAMED:
        name = document.data.get(section)
        if isinstance(name, str) and name:
            document.set((section,), {name: {}}, document.origin((section,)))


def rename(document: Document) -> None:
    """Call `loglevel` what it is called now, unless that is given as well."""
    level = document.data.pop("loglevel", None)
    log = document.data.get("log") or {}
    if level and isinstance(log, dict) and not log.get("level"):
        document.set(("log", "level"), level, document.origin(("loglevel",)))
