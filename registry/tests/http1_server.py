"""A server of HTTP/1.1 in a thread, with an application of a test's own, and raw clients of it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from storagedriver_registry.api.request import ASGIApp, Message, Receive, Scope, Send
from storagedriver_registry.serving.http1 import Http1Server
from storagedriver_registry.serving.http1.connection import Connection
from storagedriver_registry.serving.sockets import bind

from registry.tests.serving import eventually

SECONDS = 60.0
"""For which a test waits for what should come at once."""

MIB = 1024 * 1024
GET = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"

T = TypeVar("T")


def put(body: bytes, path: bytes = b"/a", *headers: bytes) -> bytes:
    """Give a request with a body of a known length."""
    lines = [b"PUT %b HTTP/1.1" % path, b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


def chunked(body: bytes, size: int) -> bytes:
    """Give a request whose body comes in chunks of some size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunks


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, with its headers by their names as they were sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        return self.headers.get("connection") == "close"


class Client:
    """A connection that bytes are sent over as they are."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(SECONDS)
        self.socket = connected
        self._file = connected.makefile("rb")

    def send(self, data: bytes | memoryview) -> None:
        self.socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Read an answer up to its body."""
        version, status, _ = self._line().split(" ", 2)
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        while line := self._line():
            name, value = line.split(": ", 1)
            assert name not in headers, f"{name} is there twice"
            headers[name] = value
        return int(status), headers

    def answer(self, method: str = "GET") -> Answer:
        """Read an answer; a `100 Continue` is one."""
        status, headers = self.head()
        if method == "HEAD" or status in (100, 204, 304):
            body = b""
        elif "content-length" in headers:
            body = self.read(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        else:
            body = self.rest()
        return Answer(status, headers, body)

    def chunks(self) -> Iterator[bytes]:
        while size := int(self._line(), 16):
            yield self.read(size)
            assert self._line() == ""
        assert self._line() == ""

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        assert len(data) == size, f"{len(data)} bytes came of {size}"
        return data

    def rest(self) -> bytes:
        """Read until the end, which may not be a reset."""
        return self._file.read()

    def assert_ends(self) -> None:
        """Wait until the connection is over, in whatever way."""
        with suppress(ConnectionError):
            assert self._file.read() == b""

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def reset(self) -> None:
        """Be gone, so that whoever sends learns so."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def _line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(f"an answer ends within a line: {line!r}")
        return line[:-2].decode("latin-1")


class RunningServer:
    """A server that runs.

    Attributes:
        server: It.
        problems: What the loop was told that nobody has handled.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Http1Server, at: Any) -> None:
        self.server = server
        self.problems: list[Mapping[str, Any]] = []
        self.serving = asyncio.run_coroutine_threadsafe(server.serve(), loop)
        self._loop = loop
        self._at = at
        self._clients: list[Client] = []
        loop.call_soon_threadsafe(
            loop.set_exception_handler, lambda _, context: self.problems.append(context)
        )

    def connect(self, receive_bytes: int | None = None) -> Client:
        is_unix = isinstance(self._at, str)
        connecting = socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET)
        if receive_bytes is not None:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._clients.append(Client(connecting))
        connecting.connect(self._at)
        if not is_unix:
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._clients[-1]

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the loop, after what has come before was read."""

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(SECONDS)

    def turn(self) -> None:
        """Let the loop take what has come."""
        for _ in range(3):
            self.call(lambda: None)

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait in the loop until something is so."""
        eventually(lambda: self.call(is_so), seconds=SECONDS)

    def connections(self) -> list[Connection]:
        return self.call(lambda: [*self.server._connections, *self.server._refused])

    def requests(self) -> int:
        """Give how many requests are being answered."""
        return self.call(
            lambda: sum("Exchange.run" in repr(task) for task in asyncio.all_tasks(self._loop))
        )

    def stop(self) -> None:
        self.call(self.server.stop)

    def end(self) -> None:
        """Stop, and find nothing left."""
        self._close_clients()
        self.stop()
        self.serving.result(SECONDS)
        assert self.requests() == 0
        assert self.problems == []

    def break_off(self) -> None:
        """End whatever is left, which is nothing unless a test has failed."""
        self._close_clients()
        self.stop()
        self.call(self.server.cut_off)
        self.serving.result(SECONDS)
        self.turn()

    def _close_clients(self) -> None:
        for client in self._clients:
            client.close()


@contextmanager
def running(
    app: ASGIApp,
    *,
    is_shared: bool = False,
    most_connections: int = 100,
    idle_seconds: float = 10 * SECONDS,
    address: tuple[str, int] | Path = ("127.0.0.1", 0),
    send_bytes: int | None = None,
) -> Iterator[RunningServer]:
    """Run a server of an application."""
    listener = bind(address)
    if send_bytes is not None:
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
    listener.listen()
    at = listener.socket.getsockname()
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> Http1Server:
        return Http1Server(
            app,
            listener,
            is_shared=is_shared,
            most_connections=most_connections,
            idle_seconds=idle_seconds,
        )

    server = RunningServer(loop, asyncio.run_coroutine_threadsafe(make(), loop).result(SECONDS), at)
    try:
        yield server
        server.end()
    finally:
        server.break_off()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()
        listener.close()


async def read(receive: Receive) -> bytes:
    """Read a body.

    Raises:
        EOFError: It ended early.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise EOFError(f"the client is gone after {len(body)} bytes")
        body += message["body"]
        if not message["more_body"]:
            return bytes(body)


async def reply(send: Send, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
    """Answer with 200 and a body of a known length."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def begin(send: Send, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def more(send: Send, body: bytes = b"", *, is_last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not is_last})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what was asked; a body that ended early is a 400."""
    try:
        body = await read(receive)
    except EOFError:
        await begin(send, (b"content-length", b"0"), status=400)
        await more(send, is_last=True)
        return
    names = b",".join(name for name, _ in scope["headers"])
    asked = scope["method"].encode(), scope["raw_path"], names, body
    await reply(send, b"%b %b [%b] %b" % asked)


async def ignore(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without a look at the body."""
    await reply(send, scope["raw_path"])


class Recorder:
    """What an application's `receive` gives, one message for each time that it is let go on."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.go_on = asyncio.Semaphore(0)
        self.begun = threading.Event()
        self.over = threading.Event()

    def has(self, count: int) -> bool:
        return len(self.messages) == count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        while True:
            await self.go_on.acquire()
            self.messages.append(await receive())
            if self.messages[-1]["type"] == "http.disconnect":
                break
        self.over.set()


def read_from_memory(file: int, offset: int, buffer: memoryview) -> memoryview:
    """Stand for what finds all of a file in memory."""
    return buffer[: os.preadv(file, [buffer], offset)]


def read_nothing(file: int, offset: int, buffer: memoryview) -> memoryview:
    """Stand for what finds nothing of a file in memory."""
    return buffer[:0]
