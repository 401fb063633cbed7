"""Short forms and old names of distribution's, written out; keys without a value, left out."""

from __future__ import annotations

from typing import Any

from storagedriver_core import Document

OTHER_S3 = "s3aws"
"""distribution's other name of its driver for S3."""

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
    """Call `loglevel` and the driver `s3aws` what they are called now, unless that is given too."""
    level = document.data.pop("loglevel", None)
    log = document.data.get("log") or {}
    if level and isinstance(log, dict) and not log.get("level"):
        document.set(("log", "level"), level, document.origin(("loglevel",)))
    storage = document.data.get("storage")
    if isinstance(storage, dict) and OTHER_S3 in storage and "s3" not in storage:
        storage["s3"] = storage.pop(OTHER_S3)
        old, new = ("storage", OTHER_S3), ("storage", "s3")
        for known in (document.origins, document.texts):
            for key in [key for key in known if key[: len(old)] == old]:
                known[(*new, *key[len(old) :])] = known.pop(key)
