"""A static HTTP server of the files in a directory, in a thread of this process.

It stands for the server or content network that has a store's files: nginx on the same disk, or
CloudFront, which lets only those in whose URL it can verify.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

Admits = Callable[[str], bool]


class StaticFiles:
    """The server, as a context manager.

    Args:
        directory: Whose files.
        admits: Tells of a request's whole URL whether it is answered; else that is 403.

    Attributes:
        url: Where it is.
        asked: Method and path of each request, in order.
    """

    def __init__(self, directory: Path, admits: Admits = lambda url: True) -> None:
        self.asked: list[tuple[str, str]] = []
        handler = partial(_Handler, self, admits, directory=str(directory))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = False  # so that its end waits for them
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    timeout = 10.0

    def __init__(
        self, server: StaticFiles, admits: Admits, *arguments: object, directory: str
    ) -> None:
        self._files = server
        self._admits = admits
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]  # as it comes

    def do_GET(self) -> None:
        if self._is_admitted():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._is_admitted():
            super().do_HEAD()

    def _is_admitted(self) -> bool:
        self._files.asked.append((self.command, urlsplit(self.path).path))
        if self._admits(self._files.url + self.path):
            return True
        self.send_error(403)
        return False

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: what was asked is in `asked`."""
