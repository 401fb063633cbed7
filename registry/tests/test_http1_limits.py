"""HTTP/1.1 in the clear: what no client may do to others, to itself, or to the next request."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from contextvars import ContextVar

import pytest
from storagedriver_registry.api.request import Receive, Scope, Send
from storagedriver_registry.serving.http1 import reading as reading_module
from storagedriver_registry.serving.http1 import server as server_module

from registry.tests.http1_server import SECONDS, ignore, reply, running

GET = b"GET /a HTTP/1.1\r\n\r\n"


def test_connection_that_is_taken_while_the_server_stops_is_ended() -> None:
    with running(ignore) as server:
        server.call(lambda: setattr(server.server, "is_ending", True))
        server.connect().assert_ends()


def test_client_that_has_sent_its_last_gets_its_answer() -> None:
    go_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(go_on.wait, SECONDS)
        await reply(send, b"last")

    with running(app) as server:
        client = server.connect()
        client.send(GET)
        client.socket.shutdown(socket.SHUT_WR)
        server.turn()
        go_on.set()
        assert client.answer().body == b"last"
        assert client.rest() == b""


def test_last_answer_is_not_lost_by_what_was_asked_after_it() -> None:
    size = 3 * 1024 * 1024

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, bytes(size), (b"connection", b"close"))

    with running(app) as server:
        client = server.connect()
        client.send(2 * GET)
        server.turn()
        client.send(10 * GET)
        assert len(client.answer().body) == size
        assert client.rest() == b""


def test_last_answer_that_nobody_takes_is_cut_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.05)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, bytes(60_000), (b"connection", b"close"))

    with running(app, idle_seconds=0.2, send_bytes=4096) as server:
        client = server.connect(receive_bytes=4096)
        client.send(GET)
        client.head()
        server.wait(lambda: not server.server._connections)
        client.close()


def test_clients_beyond_the_most_are_told_so_until_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "_MOST_REFUSED", 2)
    with running(ignore, most_connections=1) as server:
        first = server.connect()
        first.send(GET)
        assert first.answer().status == 200
        for _ in range(2):
            told = server.connect()
            told.send(GET)
            assert told.answer().status == 503
        server.connect().assert_ends()
        assert len(server.connections()) <= 3


def test_request_knows_nothing_of_the_one_before_it() -> None:
    variable: ContextVar[bytes] = ContextVar("variable", default=b"")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = variable.get()
        variable.set(b"the first's")
        await asyncio.sleep(0)
        await reply(send, found)

    with running(app) as server:
        client = server.connect()
        client.send(3 * GET)
        assert [client.answer().body for _ in range(3)] == 3 * [b""]


def test_very_small_pieces_of_a_body_hold_no_more_memory_than_others() -> None:
    go_on = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(go_on.wait, SECONDS)
        await reply(send)

    with running(app) as server:
        client = server.connect()
        client.send(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.socket.settimeout(1)
        with suppress(TimeoutError):
            client.send(b"2\r\nab\r\n" * 2_000_000)
        (connection,) = server.connections()
        exchange = connection._answering
        assert exchange is not None
        assert server.call(lambda: len(exchange._pieces)) < 100_000
        go_on.set()


def test_receive_that_is_asked_again_while_it_is_cancelled_is_woken_up() -> None:
    bodies: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = asyncio.ensure_future(receive())
        await asyncio.sleep(0.01)
        first.cancel()
        bodies.append((await receive())["body"])
        await reply(send)

    with running(app) as server:
        client = server.connect()
        client.send(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
        time.sleep(0.1)
        client.send(b"abcd")
        assert client.answer().status == 200
    assert bodies == [b"abcd"]


def test_fault_of_the_server_itself_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(url: bytes) -> None:
        raise KeyError(url)

    monkeypatch.setattr(reading_module, "target_of", fail)
    with running(ignore) as server:
        client = server.connect()
        client.send(GET)
        assert client.answer().status == 500
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("hosts", [0, 1, 2])
def test_request_names_one_host_at_most(hosts: int) -> None:
    with running(ignore) as server:
        client = server.connect()
        client.send(b"GET / HTTP/1.1\r\n%b\r\n" % (hosts * b"Host: a\r\n"))
        assert client.answer().status == (400 if hosts > 1 else 200)


def test_request_has_so_many_headers_at_most() -> None:
    with running(ignore) as server:
        for count, status in ((100, 200), (101, 431), (30_000, 431)):
            client = server.connect()
            client.send(b"GET / HTTP/1.1\r\n%b\r\n" % (count * b"a: b\r\n"))
            assert client.answer().status == status
