"""The debug server: small pages for those who watch over a registry, at an address of its own.

It runs in a thread beside what serves, so that it answers while that is busy. With several workers
each has one at the socket that all share, and any of them answers.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from storagedriver_registry.serving.sockets import Listener

logger = logging.getLogger(__name__)

# Who has connected and says nothing holds a thread.
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """An answer.

    Attributes:
        status: HTTP status.
        content_type: Of the body.
        body: The body.
    """

    status: int
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""


Pages: TypeAlias = Mapping[tuple[str, str], Callable[[], Page]]
"""What is served, by method and path. Called on a thread of its own."""


class DebugServer:
    """Serves pages on a bound socket.

    Args:
        listener: The socket.
        pages: What is served.
    """

    def __init__(self, listener: Listener, pages: Pages) -> None:
        self._listener = listener
        self._pages = pages
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Serve, until `stop`.

        Raises:
            StartError: Another server was quicker at the address.
        """
        self._listener.listen()
        bound = self._listener.socket
        # Another process may take a connection that this one was told of.
        bound.setblocking(False)
        self._server = _Server(bound, self._pages)
        threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="debug-server", daemon=True
        ).start()

    def stop(self) -> None:
        """Serve no more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
        self.close()

    def close(self) -> None:
        """Let go of the socket."""
        self._listener.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, bound: socket.socket, pages: Pages) -> None:
        super().__init__(bound.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.pages = pages

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(_SECONDS)
        return connection, address


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "registry"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *arguments: object) -> None:
        logger.debug(format, *arguments)

    def _answer(self, method: str) -> None:
        served = "GET" if method == "HEAD" else method
        make = self.server.pages.get((served, self.path.partition("?")[0]))
        try:
            if method == "POST" and self.headers.get("origin") is not None:
                # A site that an operator looks at made the browser ask, and not the operator.
                page = Page(403, body=b"403 not from a browser\n")
            else:
                page = Page(404, body=b"404 page not found\n") if make is None else make()
        except Exception:
            logger.exception("the debug server failed: %s", self.path)
            page = Page(500)
        self.send_response(page.status)
        self.send_header("content-type", page.content_type)
        self.send_header("content-length", str(len(page.body)))
        self.end_headers()
        if method != "HEAD":
            self.wfile.write(page.body)
