"""nginx, in front of other servers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from servers._process import HOST, Server

# What a distribution's own nginx.conf is around a site: whose processes, which files, which log.
_AROUND = """\
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes 1;
{user}
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}}
"""


class Nginx(Server):
    """`nginx` with one site, which listens at two ports.

    Args:
        directory: For its files and log.
        site: Gives the site's configuration, of the ports.
    """

    program: ClassVar[str] = "nginx"
    port_count: ClassVar[int] = 2

    def __init__(self, directory: Path, site: Callable[[Sequence[int]], str]) -> None:
        super().__init__(directory)
        self._site = site

    @property
    def url(self) -> str:
        """Where clients find it, at the first port, over TLS."""
        return f"https://{HOST}:{self.port}"

    def arguments(self) -> Sequence[str]:
        """Write its configuration."""
        # Otherwise its workers are nobody's, who may not read what a test has written.
        user = "user root root;" if os.geteuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(_AROUND.format(user=user), encoding="utf-8")
        (self.directory / "site.conf").write_text(self._site(self.ports), encoding="utf-8")
        return ["-p", str(self.directory), "-c", "nginx.conf", "-e", "stderr"]

    def is_ready(self) -> bool:
        """Say whether it listens at both ports."""
        for port in self.ports:
            socket.create_connection((HOST, port), timeout=5).close()
        return True
