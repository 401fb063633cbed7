"""Small HTTP servers that a registry asks, or tells of events.

As a program it is one that keeps events in a file: `python -m registry.tests.receivers PORT FILE`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Answering(ThreadingHTTPServer):
    """Answers every request with `status`, and keeps what it was asked.

    Attributes:
        status: Of the next answers.
        statuses: Of the next answers before that, one each.
        requests: Method and headers of each request so far, headers by name in lower case.
        bodies: Body of each POST that was answered 200, in order.
        gate: While it is not set, no POST is answered.
        file: Where these go too, a line each, before the answer; None for nowhere.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, file: Path | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.status = 200
        self.statuses: list[int] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.gate = threading.Event()
        self.gate.set()
        self.file = file

    def events(self) -> list[Any]:
        """Give the events of all of them."""
        return [event for body in list(self.bodies) for event in body["events"]]

    def take(self, body: bytes) -> None:
        self.bodies.append(json.loads(body))
        if self.file is not None:
            with self.file.open("ab") as file:
                file.write(body + b"\n")
                file.flush()
                os.fsync(file.fileno())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_HEAD(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, headers))
        statuses = self.server.statuses
        status = statuses.pop(0) if statuses else self.server.status
        if self.command == "POST":
            body = self.rfile.read(int(headers["content-length"]))
            self.server.gate.wait()
            if status == 200:
                self.server.take(body)
        self.send_response(status)
        self.send_header("content-length", "0")
        if 300 <= status < 400:
            self.send_header("location", self.server.url)
        self.end_headers()

    do_GET = do_POST = do_HEAD

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def answering() -> Iterator[Answering]:
    with Answering() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def main(arguments: Sequence[str]) -> None:
    port, file = arguments
    with Answering(int(port), Path(file)) as server:
        server.serve_forever(0.02)


if __name__ == "__main__":
    main(sys.argv[1:])
