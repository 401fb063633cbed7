"""Caddy, in front of other servers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers._process import HOST, Server


class Caddy(Server):
    """`caddy` with one site.

    Args:
        directory: For its files and log.
        site: Gives the Caddyfile, of the ports.
    """

    program: ClassVar[str] = "caddy"

    def __init__(self, directory: Path, site: Callable[[Sequence[int]], str]) -> None:
        super().__init__(directory)
        self._site = site

    @property
    def url(self) -> str:
        """Where clients find it, over TLS."""
        return f"https://{HOST}:{self.port}"

    def arguments(self) -> Sequence[str]:
        """Write its configuration."""
        path = self.directory / "Caddyfile"
        path.write_text(self._site(self.ports), encoding="utf-8")
        return ["run", "--config", str(path), "--adapter", "caddyfile"]

    def environment(self) -> Mapping[str, str]:
        """Give it a place of its own for what it keeps."""
        folder = str(self.directory / "kept")
        return {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}

    def is_ready(self) -> bool:
        """Say whether it listens."""
        socket.create_connection((HOST, self.port), timeout=5).close()
        return True
