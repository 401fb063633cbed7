"""HTTP/1.1 in the clear: connections that end, by whom ever, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from storagedriver_registry.api.request import Receive, Scope, Send
from storagedriver_registry.serving.http1 import connection as connection_module
from storagedriver_registry.serving.http1 import exchange as exchange_module
from storagedriver_registry.serving.http1 import server as server_module
from storagedriver_registry.serving.http1.connection import Connection
from storagedriver_registry.serving.http1.exchange import Exchange

from registry.tests.http1_server import (
    SECONDS,
    Client,
    Recorder,
    RunningServer,
    begin,
    echo,
    ignore,
    more,
    read,
    reply,
    running,
)

MIB = 1024 * 1024
GET = b"GET /a HTTP/1.1\r\n\r\n"
EXPECTING = b"PUT /a HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
SAYS_CLOSE = (b"connection", b"close")

# Of both ends together: smaller than what may wait to be sent without anybody waiting for that.
SMALL_BUFFERS = 4096
WAITING_BYTES = 60 * 1024


def put(size: int, sent: int) -> bytes:
    return b"PUT /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(sent))


class Held:
    """Answers with the path, when it is let go on.

    Attributes:
        begun: Counts requests that have begun.
        ended: How they have ended.
    """

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun = threading.Semaphore(0)
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.release()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        await reply(send, scope["raw_path"])
        self.ended.append("answered")

    def wait(self) -> None:
        assert self.begun.acquire(timeout=SECONDS)


# Clients that go away.


@pytest.mark.parametrize("sent", [0, 10, 100_000, 3 * MIB])
@pytest.mark.parametrize("is_reset", [False, True])
def test_what_has_come_of_a_body_is_given_before_the_client_is_gone(
    sent: int, is_reset: bool
) -> None:
    app = Recorder()
    with running(app) as server:
        client = server.connect()
        client.send(put(4 * MIB, sent))
        server.call(app.go_on.release)
        server.turn()
        if is_reset and sent < MIB:
            client.reset()
        else:
            client.close()
        for _ in range(20):
            server.call(app.go_on.release)
        assert app.over.wait(SECONDS)
    given = b"".join(message.get("body", b"") for message in app.messages)
    assert len(given) == sent
    assert all(message.get("more_body", True) for message in app.messages)


@pytest.mark.parametrize("is_reset", [False, True])
def test_client_that_goes_away_is_noticed_after_its_body(is_reset: bool) -> None:
    waiting = threading.Event()
    app = Recorder()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        waiting.set()
        await app(scope, receive, send)

    with running(waits) as server:
        client = server.connect()
        client.send(put(4, 4))
        assert waiting.wait(SECONDS)
        server.call(app.go_on.release)
        server.turn()
        assert app.messages == []
        client.reset() if is_reset else client.close()
        assert app.over.wait(SECONDS)


@pytest.mark.parametrize("request_", [GET, EXPECTING, put(10, 0), put(8 * MIB, 3 * MIB)])
def test_client_that_is_gone_before_it_is_asked_is_no_error(request_: bytes) -> None:
    go_on = asyncio.Event()
    errors: list[BaseException] = []
    over = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await begin(send)
            if len(request_) > MIB:
                # Nothing is received any more: that the client is gone, sending tells.
                while not exchange()._gone:
                    await more(send, bytes(1024))
                    await asyncio.sleep(0)
            await go_on.wait()
            with pytest.raises(EOFError):
                while True:
                    await read(receive)
            await more(send, b"body", is_last=True)
        except BaseException as error:
            errors.append(error)
        finally:
            over.set()

    def exchange() -> Exchange:
        (connection,) = server.server._connections
        assert connection._answering is not None
        return connection._answering

    with running(app) as server:
        client = server.connect()
        client.send(request_ if len(request_) < MIB else request_[:MIB])
        server.wait(lambda: any(it._answering for it in server.server._connections))
        if len(request_) > MIB:
            client.socket.setblocking(False)
            for _ in range(20):
                try:
                    client.socket.send(request_[:MIB])
                except BlockingIOError:
                    break
                server.turn()
        client.reset()
        server.wait(lambda: exchange()._gone)
        server.call(go_on.set)
        assert over.wait(SECONDS)
    assert errors == []


def test_waiting_requests_of_a_client_that_is_gone_are_not_begun() -> None:
    app = Held()
    with running(app) as server:
        client = server.connect()
        client.send(GET * 10)
        app.wait()
        server.turn()
        client.reset()
        # It is not read from while requests wait.
        server.call(app.go_on.set)
    assert 1 <= len(app.ended) <= 10


# Answers that are the last.


@pytest.mark.parametrize("size", [MIB, 100 * MIB])
def test_client_that_still_sends_gets_its_answer(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_LINGERING_SECONDS", 0.2)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"no", SAYS_CLOSE)

    with running(app) as server:
        client = server.connect()
        client.send(put(size, MIB // 2))
        answer = client.answer()
        assert (answer.body, answer.is_last) == (b"no", True)
        with pytest.raises(OSError):
            while True:
                client.send(bytes(MIB))
        server.wait(lambda: not server.server._connections)


def test_slow_client_that_still_sends_gets_all_of_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "_LINGERING_SECONDS", 0.01)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, bytes(WAITING_BYTES), SAYS_CLOSE)

    with running(app, send_bytes=SMALL_BUFFERS) as server:
        client = server.connect(receive_bytes=SMALL_BUFFERS)
        client.send(put(10, 1))
        server.wait(lambda: any(it._lingering for it in server.server._connections))
        (connection,) = server.connections()
        first = connection._lingering
        # Its time is over, several times.
        server.wait(lambda: connection._lingering is not first)
        assert client.answer().body == bytes(WAITING_BYTES)
        assert client.rest() == b""


# The server's end.


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nA"])
def test_idle_connection_ends_when_the_server_stops(sent: bytes) -> None:
    with running(echo) as server:
        client = server.connect()
        client.send(GET + sent)
        assert client.answer().status == 200
        server.turn()
        server.stop()
        assert client.rest() == b""
        server.serving.result(SECONDS)


def test_client_that_still_sends_what_nobody_reads_has_its_answer_when_the_server_stops() -> None:
    with running(ignore) as server:
        client = server.connect()
        client.send(put(100 * MIB, MIB))
        server.wait(lambda: any(it._answering is None for it in server.server._connections))
        server.stop()
        server.turn()
        client.send(bytes(MIB))
        assert client.answer().body == b"/a"


def test_requests_that_have_come_are_answered_when_the_server_stops() -> None:
    app = Held()
    with running(app) as server:
        clients = [server.connect(), server.connect()]
        clients[0].send(GET)
        clients[1].send(GET * 3)
        for _ in clients:
            app.wait()
        server.turn()
        server.stop()
        server.turn()
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        assert not server.serving.done()
        server.call(app.go_on.set)
        assert clients[0].answer().is_last
        assert [clients[1].answer().is_last for _ in range(3)] == [False, False, True]
        assert clients[0].rest() == clients[1].rest() == b""
        server.serving.result(SECONDS)


def test_answer_that_is_begun_when_the_server_stops_is_finished() -> None:
    app = Held()

    async def begins(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, (b"content-length", b"4"))
        await more(send, b"bo")
        app.begun.release()
        await app.go_on.wait()
        await more(send, b"dy", is_last=True)

    with running(begins) as server:
        client = server.connect()
        client.send(GET)
        app.wait()
        server.stop()
        server.call(app.go_on.set)
        answer = client.answer()
        assert (answer.body, answer.is_last) == (b"body", False)
        assert client.rest() == b""


def test_request_whose_client_is_gone_is_finished_when_the_server_stops() -> None:
    app = Held()
    with running(app) as server:
        client = server.connect()
        client.send(GET)
        app.wait()
        client.reset()
        server.wait(lambda: all(it._is_lost for it in server.server._connections))
        server.stop()
        server.turn()
        assert not server.serving.done()
        server.call(app.go_on.set)
        server.serving.result(SECONDS)
        assert app.ended == ["answered"]


def test_what_runs_is_cancelled_when_it_takes_too_long() -> None:
    app = Held()
    with running(app) as server:
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send(GET)
            app.wait()
        server.stop()
        server.turn()
        assert len(server.call(server.server.cut_off)) == 3
        server.serving.result(SECONDS)
        for client in clients:
            client.assert_ends()
    assert app.ended == ["cancelled"] * 3


def test_answer_that_nobody_takes_is_cut_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, bytes(WAITING_BYTES))

    with running(app, send_bytes=SMALL_BUFFERS) as server:
        client = server.connect(receive_bytes=SMALL_BUFFERS)
        client.send(GET)
        server.wait(lambda: any(not it._answering for it in server.server._connections))
        client.head()
        server.stop()
        server.turn()
        assert not server.serving.done()
        assert server.call(server.server.cut_off) == set()
        server.serving.result(SECONDS)


# Limits.


@contextmanager
def impatient(app: Held, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.01)
    with running(app, idle_seconds=0.05, send_bytes=SMALL_BUFFERS) as server:
        yield server


@pytest.mark.parametrize("sent", [b"", GET, GET + b"GET / HTTP/1.1\r\nA"])
def test_connection_with_nothing_to_do_is_closed(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Held()
    with impatient(app, monkeypatch) as server:
        server.call(app.go_on.set)
        client = server.connect()
        client.send(sent)
        assert client.rest().count(b"HTTP/1.1 200 OK") == sent.count(b"\r\n\r\n")


def test_connection_with_something_to_do_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Held()
    with impatient(app, monkeypatch) as server:
        busy, idle = server.connect(), server.connect()
        busy.send(GET)
        app.wait()
        # Longer than that nothing has to be done.
        assert idle.rest() == b""
        server.call(app.go_on.set)
        assert busy.answer().status == 200


def test_connection_whose_answer_nobody_takes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, bytes(WAITING_BYTES))

    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.01)
    with running(app, idle_seconds=0.05, send_bytes=SMALL_BUFFERS) as server:
        client = server.connect(receive_bytes=SMALL_BUFFERS)
        client.send(GET)
        client.head()
        server.wait(lambda: not server.server._connections)


def test_too_many_connections_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_LINGERING_SECONDS", 10 * SECONDS)
    with running(echo, most_connections=2) as server:
        clients = [server.connect() for _ in range(2)]
        for client in clients:
            client.send(GET)
            assert client.answer().status == 200
        refused = [server.connect() for _ in range(3)]
        for client in refused:
            answer = client.answer()
            assert (answer.status, answer.is_last, client.rest()) == (503, True, b"")
        for client in clients:
            client.send(GET)
            assert client.answer().status == 200
        # Those that were refused are still there, and take nobody's place.
        clients.pop().close()
        server.wait(lambda: len(server.server._connections) == 1)
        client = server.connect()
        client.send(GET)
        assert client.answer().status == 200


# Nothing is left.


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError


def speak(server: RunningServer, way: str) -> Client:
    client = server.connect()
    match way:
        case "closed":
            client.send(GET * 3)
            for _ in range(3):
                client.answer()
        case "last":
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            client.answer()
            assert client.rest() == b""
        case "broken":
            client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
            client.answer()
        case "refused":
            client.send(b"garbage\r\n\r\n")
            client.answer()
        case "failed":
            client.send(GET)
            assert client.answer().status == 500
        case "upgraded":
            client.send(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            client.answer()
        case "cut":
            client.send(put(10, 5))
            server.turn()
        case "reset":
            client.send(put(10, 5))
            server.turn()
            client.reset()
    return client


@pytest.mark.parametrize(
    "way", ["closed", "last", "broken", "refused", "upgraded", "cut", "reset", "failed"]
)
def test_nothing_is_left_of_a_connection(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is logged is kept by whoever looks at it.
    monkeypatch.setattr(exchange_module.logger, "disabled", True)
    with running(fail if way == "failed" else echo) as server:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                speak(server, way).close()
            server.wait(lambda: not server.server._connections)
            server.turn()
            left = [it for it in gc.get_objects() if isinstance(it, Connection | Exchange)]
            assert left == []
            assert server.requests() == 0
        finally:
            gc.enable()
