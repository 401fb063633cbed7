"""One kept connection, and the calls of a push: as little as can be done for each byte.

A library for HTTP would take as much CPU for a small request as the server does, and would copy the
large ones. This knows just what a registry answers.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from benchmarks.registry_load._plan import MIB

SECONDS = 120
_HEAD_BYTES = 64 * 1024


class LoadError(Exception):
    """A request was not answered as it should be: there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer.

    Attributes:
        status: Its number.
        headers: By their names in lower case.
        start: The beginning of the body that came with the head.
        left: How many bytes of the body are still to come.
    """

    status: int
    headers: Mapping[str, str]
    start: bytes
    left: int


class Connection:
    """One connection to a server, kept for all requests.

    Args:
        url: As `http://127.0.0.1:5000`; a path is put before every target.

    Raises:
        LoadError: Nobody listens there.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host = parts.netloc
        self._prefix = parts.path.rstrip("/")
        try:
            self._socket = socket.create_connection((parts.hostname, parts.port or 80))
        except OSError as exc:
            raise LoadError(f"{url}: {exc}") from exc
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Python's own time-outs ask `poll` before each call.
        limit = struct.pack("ll", SECONDS, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._buffer = memoryview(bytearray(MIB))
        self._others: dict[str, Connection] = {}

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: tuple[bytes | memoryview, ...] = (),
    ) -> Answer:
        """Send a request, and give the head of its answer.

        Args:
            method: As `PUT`.
            target: A path, or a whole URL as `Location` has it.
            headers: Besides Host and Content-Length.
            body: As it goes over the wire; its length is a header unless the transfer is chunked.

        Raises:
            LoadError: There was no answer.
        """
        target = self._path_of(target)
        headers = dict(headers or {})
        if "transfer-encoding" not in headers and method not in ("GET", "HEAD"):
            headers["content-length"] = str(sum(map(len, body)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {target} HTTP/1.1\r\nhost: {self._host}\r\n{lines}\r\n".encode()
        if sum(map(len, body)) < _HEAD_BYTES:
            head, body = b"".join((head, *body)), ()
        failure: OSError | None = None
        try:
            self._socket.sendall(head)
            for part in body:
                self._socket.sendall(part)
        except OSError as exc:
            # It may have been refused by an answer before the connection was cut.
            failure = exc
        try:
            return self._answer(has_body=method != "HEAD")
        except OSError as exc:
            raise LoadError(f"{method} {target}: {failure or exc}") from exc

    def _path_of(self, target: str) -> str:
        if target.startswith("/"):
            # A relative `Location` has the path already.
            return target if target.startswith(f"{self._prefix}/") else self._prefix + target
        parts = urlsplit(target)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def _answer(self, *, has_body: bool) -> Answer:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            more = self._socket.recv(_HEAD_BYTES)
            if not more or len(received) > _HEAD_BYTES:
                raise ConnectionError("the connection was closed before an answer")
            received += more
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        start = received[end + 4 :]
        has_body = has_body and status not in (204, 304)
        if has_body and "content-length" not in headers:
            # A registry does so for errors, which end the run.
            raise LoadError(f"answered {status} without a length: {start[:200]!r}")
        length = int(headers["content-length"]) if has_body else 0
        return Answer(status, headers, start, length - len(start))

    def drain(self, answer: Answer) -> None:
        """Read the rest of an answer into a buffer that is not looked at."""
        left = answer.left
        while left:
            count = self._socket.recv_into(self._buffer, min(left, len(self._buffer)))
            if not count:
                raise LoadError(f"the connection was closed {left} bytes before the end")
            left -= count

    def read(self, answer: Answer) -> bytes:
        """Give the body of an answer."""
        body = bytearray(answer.start)
        while left := len(answer.start) + answer.left - len(body):
            more = self._socket.recv(min(left, MIB))
            if not more:
                raise LoadError(f"the connection was closed {left} bytes before the end")
            body += more
        return bytes(body)

    def expect(
        self,
        status: int,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: tuple[bytes | memoryview, ...] = (),
    ) -> Answer:
        """Send a request, read its whole answer, and give the head.

        Raises:
            LoadError: The status is another one.
        """
        answer = self.request(method, target, headers, body)
        if answer.status != status:
            text = self.read(answer)[:300].decode(errors="replace")
            raise LoadError(f"{method} {target}: answered {answer.status}, not {status}: {text}")
        self.drain(answer)
        return answer

    def get(
        self, target: str, headers: Mapping[str, str] | None = None
    ) -> tuple[Connection, Answer]:
        """Ask for something, where the answer sends one to if it does so.

        Returns:
            The connection that has the body, and the head. One to another server is kept, too.

        Raises:
            LoadError: There was no answer.
        """
        answer = self.request("GET", target, headers)
        if answer.status != 307:
            return self, answer
        self.drain(answer)
        location = answer.headers["location"]
        parts = urlsplit(location)
        server = f"{parts.scheme}://{parts.netloc}"
        if server not in self._others:
            self._others[server] = Connection(server)
        other = self._others[server]
        return other, other.request("GET", location)

    def close(self) -> None:
        """Close it."""
        for other in self._others.values():
            other.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def with_digest(location: str, digest: str) -> str:
    """Give the URL that completes an upload."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"
