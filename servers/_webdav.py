"""What WebDAV servers share: who may come in, and a probe."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from servers._http import request
from servers._process import Server


class WebDavServer(Server):
    """A WebDAV server that keeps files as files, and wants Basic authentication.

    Attributes:
        user: Who may do everything.
        password: That user's password.
    """

    user = "tester"
    password = "secrettest"

    @property
    def files(self) -> Path:
        """Where its files lie; made on the way."""
        path = self.directory / "files"
        path.mkdir(exist_ok=True, parents=True)
        return path

    def facts(self) -> Mapping[str, str]:
        """Give the address, the credentials and the folder."""
        return {
            "url": self.url,
            "user": self.user,
            "password": self.password,
            "files": str(self.files),
        }

    def is_ready(self) -> bool:
        """Say whether it takes a file, and gives it back."""
        url = f"{self.url}/.ready"
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        who = {"authorization": f"Basic {token}"}
        put, get, delete = (
            request(method, url, body, who)
            for method, body in (("PUT", b"ready"), ("GET", b""), ("DELETE", b""))
        )
        return put.is_success and get.body == b"ready" and delete.is_success
