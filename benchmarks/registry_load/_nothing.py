"""A server that does nothing: `python _nothing.py PORT`, one process for each connection.

It drains what is sent to it and keeps the sizes of blobs and manifests, as files of that size that
take no space in its working directory. So a load on it shows what the generator can do.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys
from pathlib import Path

BUFFER = 1024 * 1024
AT_ONCE = 64 * 1024
SMALL = 512
LAST_CHUNK = b"0\r\n\r\n"


def main() -> None:
    """Fork for each connection."""
    # A child that nobody waits for takes its CPU time to the grave.
    signal.signal(signal.SIGCHLD, lambda number, frame: reap())
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve(connection)
            except ConnectionError:
                pass
            finally:
                os._exit(0)
        connection.close()


def reap() -> None:
    """Wait for the children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(connection: socket.socket) -> None:
    """Answer one request after the other."""
    known: dict[bytes, bytes] = {}
    received = b""
    while True:
        while (end := received.find(b"\r\n\r\n")) < 0:
            more = connection.recv(65536)
            if not more:
                return
            received += more
        head, received = received[: end + 2], received[end + 4 :]
        method, target, version = head[: head.index(b"\r\n")].split(b" ")
        if method in (b"GET", b"HEAD"):
            # What generators ask for again and again.
            answer = known.get(head)
            if answer is None:
                answer = known[head] = answer_to(method, target, version)
            connection.sendall(answer)
            if method == b"GET" and size_of(target) > AT_ONCE:
                send(connection, target)
            continue
        received = drain(connection, head.lower(), received)
        connection.sendall(take(method, target, head))


def answer_to(method: bytes, target: bytes, version: bytes) -> bytes:
    """Give an answer to GET or HEAD, but for a large body."""
    size = size_of(target)
    kept = b"connection: keep-alive\r\n" if version == b"HTTP/1.0" else b""
    body = bytes(size) if method == b"GET" and size <= AT_ONCE else b""
    return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (kept, size, body)


@functools.cache
def size_of(target: bytes) -> int:
    """Give the size of a blob or manifest; the latter's digest is not known here."""
    path = path_of(target)
    return path.stat().st_size if path.name and path.exists() else SMALL


def send(connection: socket.socket, target: bytes) -> None:
    """Send zeros."""
    with path_of(target).open("rb") as file:
        connection.sendfile(file)


def drain(connection: socket.socket, head: bytes, received: bytes) -> bytes:
    """Read a body away, and give what came after it."""
    buffer = memoryview(bytearray(BUFFER))
    if b"transfer-encoding: chunked" in head:
        last = received[-len(LAST_CHUNK) :]
        while last != LAST_CHUNK:
            count = connection.recv_into(buffer)
            if not count:
                raise ConnectionError
            last = (last + bytes(buffer[max(0, count - 5) : count]))[-len(LAST_CHUNK) :]
        return b""
    length = content_length(head)
    if len(received) >= length:
        return received[length:]
    left = length - len(received)
    while left:
        count = connection.recv_into(buffer, min(left, BUFFER))
        if not count:
            raise ConnectionError
        left -= count
    return b""


def content_length(head: bytes) -> int:
    """Give the length of a body."""
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest[: rest.index(b"\r\n")])


def take(method: bytes, target: bytes, head: bytes) -> bytes:
    """Answer a request of a push."""
    if method == b"PUT":
        path = path_of(target)
        path.touch()
        os.truncate(path, content_length(head))
        return b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"
    location = target.partition(b"?")[0].rstrip(b"/") + b"?state=none"
    return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nlocation: %s\r\n\r\n" % location


def path_of(target: bytes) -> Path:
    """Give the file that stands for a blob or manifest: of the last part of its URL."""
    _, found, digest = target.partition(b"digest=")
    return Path((digest if found else target.rpartition(b"/")[2]).decode().replace(":", "-"))


if __name__ == "__main__":
    main()
