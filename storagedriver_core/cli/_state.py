"""Where copies keep what they need to go on after they were broken off."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple


class Address(NamedTuple):
    """A path in a configured storage.

    Attributes:
        config: The configuration file.
        path: The path in the storage.
    """

    config: Path
    path: str

    @classmethod
    def parse(cls, text: str, default: Path) -> Address:
        """Split `CONFIG:/path` at the first `:/`; without one it is a path in `default`."""
        config, separator, path = text.partition(":/")
        return cls(Path(config), f"/{path}") if separator else cls(default, text)


class KeptState:
    """The state of one copy, in a file below `$XDG_STATE_HOME`.

    Only the user can read it: who has the state can write to the upload.
    """

    def __init__(self, source: Address, target: Address) -> None:
        ends = [[str(end.config.resolve()), end.path] for end in (source, target)]
        name = hashlib.sha256(json.dumps(ends).encode()).hexdigest()
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self._file = Path(home) / "storagedriver" / "copies" / name

    def load(self) -> str | None:
        """Give the state; None if there is none."""
        try:
            # Whoever gets what is no state begins anew.
            return self._file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def save(self, state: str) -> None:
        """Keep the state in place of the one before."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(state, encoding="utf-8")
        part.replace(self._file)

    def clear(self) -> None:
        """Forget the state."""
        self._file.unlink(missing_ok=True)
