"""WsgiDAV: a WebDAV server that honours preconditions and locks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from servers._process import HOST
from servers._webdav import WebDavServer


class WsgiDav(WebDavServer):
    """`wsgidav`, served by cheroot."""

    program: ClassVar[str] = "wsgidav"

    def arguments(self) -> Sequence[str]:
        """Write the configuration."""
        settings = {
            "host": HOST,
            "port": self.port,
            "server": "cheroot",
            "provider_mapping": {"/": str(self.files)},
            "simple_dc": {"user_mapping": {"*": {self.user: {"password": self.password}}}},
            "lock_storage": True,
            # Keeps dead properties, in memory.
            "property_manager": True,
            "logging": {"enable": True},
        }
        path = self.directory / "wsgidav.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return ["--config", str(path)]
