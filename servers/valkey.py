"""Valkey, or Redis where the distribution has no Valkey."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from servers._process import HOST, Server


class Valkey(Server):
    """`valkey-server`, without a password.

    Args:
        directory: For its data and log.
        on_disk: Find what was written again after a restart, and after a crash, too.
    """

    program: ClassVar[str] = "valkey-server"

    def __init__(self, directory: Path, *, on_disk: bool = False) -> None:
        super().__init__(directory)
        self._on_disk = on_disk

    @property
    def url(self) -> str:
        """What clients call it."""
        return f"redis://{HOST}:{self.port}"

    def arguments(self) -> Sequence[str]:
        """Give the options."""
        address = ["--bind", HOST, "--port", str(self.port)]
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if self._on_disk else []
        return [*address, "--dir", str(self.directory), "--save", "", *kept]

    def is_ready(self) -> bool:
        """Say whether it answers: not before it has loaded what it kept."""
        with socket.create_connection((HOST, self.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64) == b"+PONG\r\n"
