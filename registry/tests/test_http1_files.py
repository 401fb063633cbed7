"""HTTP/1.1 in the clear: parts of files that the kernel sends."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TypeAlias

import pytest
from storagedriver_registry.api.request import SEND_FILE, Message, Receive, Scope, Send
from storagedriver_registry.serving.http1 import sending

from registry.tests.http1_server import (
    GET,
    MIB,
    SECONDS,
    Client,
    RunningServer,
    begin,
    read_from_memory,
    read_nothing,
    reply,
    running,
)
from registry.tests.serving import eventually

FILE = b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n"
DATA = os.urandom(3 * MIB + 7)
WHOLE = (0, len(DATA))
# Of each end, and what is then sent of an answer without anybody waiting for that.
SMALL_BUFFERS, WAITING_BYTES = 4096, 60 * 1024
SLOW_BUFFERS = 64 * 1024
LESS_THAN_ALL = (AssertionError, ConnectionError)
Part: TypeAlias = "bytes | tuple[int, int]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


@pytest.fixture(params=["memory", "disk", "a filesystem that does not send"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(out: int, file: int, offset: int, count: int) -> int:
        raise OSError(errno.EINVAL, "of this one nothing is sent")

    read = read_from_memory if request.param == "memory" else read_nothing
    monkeypatch.setattr(sending, "_read_from_memory", read)
    if request.param not in ("memory", "disk"):
        monkeypatch.setattr(os, "sendfile", refuse)


class Files:
    """Answers with parts of a file and bytes, and `/next` at once.

    Attributes:
        errors: What has ended it.
        begun, over: Count answers that have begun, and those that have ended.
    """

    def __init__(self, path: Path, *parts: Part, length: int | None = None) -> None:
        self.errors: list[type[BaseException]] = []
        self.begun, self.over = threading.Semaphore(0), threading.Semaphore(0)
        self.body = b"".join(_bytes(part) for part in parts)
        self.length: int | None = len(self.body) if length is None else length
        self.goes_on = False
        self._path = path
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"] == b"/next":
            await reply(send, bytes(WAITING_BYTES))
            return
        self.begun.release()
        try:
            with FileIO(self._path) as file:
                length = (b"content-length", b"%d" % (self.length or 0))
                await begin(send, *[length] * (self.length is not None))
                for part in self._parts:
                    await self._send(send, file, part)
                await send({"type": "http.response.body"})
        except BaseException as error:
            self.errors.append(type(error))
            raise
        finally:
            self.over.release()

    async def _send(self, send: Send, file: FileIO, part: Part) -> None:
        message: Message = {"type": "http.response.body", "body": part, "more_body": True}
        if isinstance(part, tuple):
            message = {**message, "type": SEND_FILE, "offset": part[0], "count": part[1]}
            message["file"] = file
        try:
            await send(message)
        except RuntimeError:
            if not self.goes_on:
                raise

    def wait(self) -> None:
        assert self.over.acquire(timeout=SECONDS)


def _bytes(part: Part) -> bytes:
    return part if isinstance(part, bytes) else DATA[part[0] : part[0] + part[1]]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def nothing_left(server: RunningServer) -> Iterator[None]:
    # With its first connection the loop opens a file of its own.
    first = server.connect()
    server.wait(lambda: bool(server.server._connections))
    first.close()
    server.wait(lambda: not server.server._connections)
    before = descriptors()
    yield
    server.wait(lambda: not server.server._connections)
    eventually(descriptors, lambda found: found == before, SECONDS)
    gc.collect()
    server.turn()
    assert (server.requests(), server.problems) == (0, [])


def is_waiting(server: RunningServer) -> bool:
    """Tell whether a file is being sent that the client does not take."""
    return any(
        it._answering is not None
        and it._answering._files is not None
        and it._answering._files._waiting is not None
        for it in server.server._connections
    )


def begin_slowly(server: RunningServer, request: bytes = FILE) -> Client:
    client = server.connect(receive_bytes=SLOW_BUFFERS)
    client.send(request)
    server.wait(lambda: is_waiting(server))
    return client


# What comes.


@pytest.mark.parametrize(
    "parts",
    [
        (WHOLE,),
        ((1000, 1_000_001),),
        ((0, MIB), (MIB, 2 * MIB), (3 * MIB, 7)),
        (b"before", (5, MIB), b"after"),
        (b"", (0, 0), (7, 1), (0, 0)),
        (bytes(300_000), (0, MIB), bytes(300_000), (7, MIB), b"a", (9, 9)),
    ],
)
@pytest.mark.parametrize("is_unix", [False, True])
@pytest.mark.usefixtures("place")
def test_parts_come_in_order_and_the_connection_goes_on(
    parts: tuple[Part, ...], is_unix: bool, path: Path, tmp_path: Path
) -> None:
    app = Files(path, *parts)
    with running(app, address=tmp_path / "s" if is_unix else ("127.0.0.1", 0)) as server:
        client = server.connect()
        for requests in (FILE, FILE + FILE):
            client.send(requests + GET)
            for _ in range(requests.count(FILE)):
                assert client.answer().body == app.body
            assert client.answer().body == bytes(WAITING_BYTES)
    assert app.errors == []


def test_file_that_the_kernel_does_not_send_is_read() -> None:
    path = Path("/proc/self/environ")
    data = path.read_bytes()
    one, other = socket.socketpair()
    with path.open("rb") as file, one, other, pytest.raises(OSError, match="Invalid argument"):
        os.sendfile(one.fileno(), file.fileno(), 0, len(data))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with FileIO(path) as file:
            await begin(send, (b"content-length", b"%d" % len(data)))
            await send({"type": SEND_FILE, "file": file, "offset": 0, "count": len(data)})

    with running(app) as server:
        client = server.connect()
        client.send(FILE + FILE)
        assert [client.answer().body for _ in range(2)] == [data, data]


@pytest.mark.parametrize("is_taken", [True, False])
@pytest.mark.usefixtures("place")
def test_file_waits_for_an_answer_that_is_not_taken_yet(is_taken: bool, path: Path) -> None:
    app = Files(path, (0, 100_000))
    with running(app, send_bytes=SMALL_BUFFERS) as server, nothing_left(server):
        client = server.connect(receive_bytes=SMALL_BUFFERS)
        client.send(GET + FILE)
        assert app.begun.acquire(timeout=SECONDS)
        server.wait(lambda: any(it.is_full for it in server.server._connections))
        if is_taken:
            assert client.answer().body == bytes(WAITING_BYTES)
            assert client.answer().body == app.body
            client.close()
        else:
            client.reset()
        app.wait()
    assert app.errors == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    ("version", "says", "keeps"),
    [(b"1.0", b"close", False), (b"1.0", b"keep-alive", True), (b"1.1", b"keep-alive", True)],
)
def test_answer_of_each_method_and_version(
    method: bytes, version: bytes, says: bytes, keeps: bool, path: Path
) -> None:
    app = Files(path, WHOLE)
    with running(app) as server:
        client = server.connect()
        for _ in range(1 + keeps):
            client.send(b"%b / HTTP/%b\r\nConnection: %b\r\n\r\n" % (method, version, says))
            answer = client.answer(method.decode())
            assert answer.headers["content-length"] == str(len(DATA))
            assert (answer.body, answer.is_last) == (app.body * (method == b"GET"), not keeps)
        if not keeps:
            assert client.rest() == b""


@pytest.mark.usefixtures("place")
def test_client_that_has_closed_its_half_gets_all(path: Path) -> None:
    app = Files(path, WHOLE)
    with running(app, send_bytes=SLOW_BUFFERS) as server:
        client = begin_slowly(server)
        client.socket.shutdown(socket.SHUT_WR)
        server.turn()
        assert client.answer().body == DATA
        assert client.rest() == b""


# What cannot be.


@pytest.mark.parametrize("length", [None, len(DATA) - 1, len(DATA) + 1])
def test_file_of_another_length_than_announced_is_a_500(length: int | None, path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with FileIO(path) as file:
            await begin(send, *[(b"content-length", b"%d" % (length or 0))] * (length is not None))
            await send({"type": SEND_FILE, "file": file, "offset": 0, "count": len(DATA)})

    with running(app) as server:
        client = server.connect()
        client.send(FILE)
        answer = client.answer()
        assert (answer.status, answer.body, answer.is_last) == (500, b"Internal Server Error", True)
        assert client.rest() == b""


@pytest.mark.parametrize("length", [None, len(DATA), len(DATA) + 2])
def test_file_of_another_length_after_bytes_is_cut(length: int | None, path: Path) -> None:
    app = Files(path, b"a", WHOLE)
    app.length = length
    with running(app) as server:
        client = server.connect()
        client.send(FILE + GET)
        with pytest.raises((*LESS_THAN_ALL, EOFError)):
            client.answer()
        client.assert_ends()


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.usefixtures("place")
def test_file_that_is_shorter_than_announced_is_never_whole(goes_on: bool, path: Path) -> None:
    app = Files(path, (MIB, len(DATA)), length=len(DATA))
    app.goes_on = goes_on
    with running(app) as server, nothing_left(server):
        client = server.connect()
        client.send(FILE + GET + GET * 40)
        with pytest.raises(LESS_THAN_ALL):
            client.answer()
        client.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ECONNABORTED])
@pytest.mark.usefixtures("place")
def test_file_that_cannot_be_read_is_never_whole(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendfile, read = os.sendfile, sending._read_from_memory

    def fail(out: int, file: int, offset: int, count: int) -> int:
        if offset:
            raise OSError(number, "the filesystem is gone")
        return sendfile(out, file, offset, min(count, 1000))

    def read_once(file: int, offset: int, buffer: memoryview) -> memoryview:
        return buffer[:0] if offset else read(file, offset, buffer[:1000])

    monkeypatch.setattr(os, "sendfile", fail)
    monkeypatch.setattr(sending, "_read_from_memory", read_once)
    app = Files(path, WHOLE)
    with running(app) as server, nothing_left(server):
        client = server.connect()
        client.send(FILE + GET * 60)
        with pytest.raises(LESS_THAN_ALL):
            client.answer()
        client.close()


# Clients that go away, or are slow.


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("request_", [FILE, FILE + GET], ids=["read", "not read"])
@pytest.mark.usefixtures("place")
def test_client_that_is_gone_is_no_error(is_reset: bool, request_: bytes, path: Path) -> None:
    app = Files(path, WHOLE, WHOLE, b"end")
    with running(app, send_bytes=SLOW_BUFFERS) as server:
        for _ in range(3):
            with nothing_left(server):
                client = begin_slowly(server, request_)
                client.read(1000)
                client.reset() if is_reset else client.close()
                app.wait()
    assert app.errors == []


@pytest.mark.usefixtures("place")
def test_slow_client_gets_all_and_others_are_answered_meanwhile(path: Path) -> None:
    app = Files(path, WHOLE)
    with running(app, send_bytes=SLOW_BUFFERS) as server:
        slow, other = begin_slowly(server), server.connect()
        slow.head()
        body = slow.read(100_000)
        for _ in range(3):
            other.send(GET)
            assert other.answer().body == bytes(WAITING_BYTES)
        assert app.over.acquire(blocking=False) is False
        assert body + slow.read(len(DATA) - len(body)) == DATA


@pytest.mark.usefixtures("place")
def test_file_waits_for_bytes_of_its_answer_that_are_not_taken_yet(path: Path) -> None:
    app = Files(path, (0, MIB), bytes(WAITING_BYTES), (5, MIB), bytes(WAITING_BYTES), (9, 9))
    with running(app, send_bytes=SMALL_BUFFERS) as server:
        client = begin_slowly(server)
        assert client.answer().body == app.body


@pytest.mark.usefixtures("place")
def test_file_ends_with_the_connection_of_a_request_that_breaks_off(path: Path) -> None:
    app = Files(path, WHOLE)
    with running(app, send_bytes=SLOW_BUFFERS) as server:
        client = begin_slowly(server, b"PUT /file HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        server.wait(lambda: not server.server._connections)
    assert app.errors == []


# The server's end.


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.usefixtures("place")
def test_nothing_is_left_of_a_file_that_is_cut_off_while_it_waits(times: int, path: Path) -> None:
    app = Files(path, WHOLE)
    with running(app, send_bytes=SLOW_BUFFERS) as server, nothing_left(server):
        client = begin_slowly(server)
        for _ in range(times):
            server.call(server.server.cut_off)
        app.wait()
        with pytest.raises(LESS_THAN_ALL):
            client.answer()
        client.close()
    assert app.errors == [asyncio.CancelledError]


@pytest.mark.parametrize("error", [None, BrokenPipeError, BlockingIOError, OSError])
def test_descriptors_stay_until_the_thread_is_done(
    error: type[OSError] | None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    stayed: list[bool] = []

    def block(out: int, file: int, offset: int, count: int) -> int:
        before = os.fstat(out).st_ino, os.fstat(file).st_ino
        begun.set()
        assert go_on.wait(SECONDS)
        with suppress(OSError):
            stayed.append((os.fstat(out).st_ino, os.fstat(file).st_ino) == before)
        if error is not None:
            raise error
        return count

    monkeypatch.setattr(sending, "_read_from_memory", read_nothing)
    monkeypatch.setattr(os, "sendfile", block)
    app = Files(path, WHOLE)
    with running(app) as server, nothing_left(server):
        client = server.connect()
        client.send(FILE)
        assert begun.wait(SECONDS)
        for _ in range(3):
            server.call(server.server.cut_off)
            server.turn()
        assert server.requests() == 1
        client.close()
        go_on.set()
        app.wait()
    assert stayed == [True]
    assert app.errors == [asyncio.CancelledError]


@pytest.mark.usefixtures("place")
def test_file_that_is_being_sent_when_the_server_stops_is_finished(path: Path) -> None:
    app = Files(path, (0, MIB), (MIB, 2 * MIB), b"end")
    with running(app, send_bytes=SLOW_BUFFERS) as server:
        client = begin_slowly(server)
        server.stop()
        server.turn()
        assert not server.serving.done()
        assert client.answer().body == app.body
        assert client.rest() == b""
        server.serving.result(SECONDS)
