"""HTTP/1.1 in the clear: requests, whole and in order, and what an application is told of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from storagedriver_registry.api.request import Receive, Scope, Send
from storagedriver_registry.serving.http1.exchange import GATHERED_BYTES

from registry.tests.http1_server import (
    GET,
    MIB,
    SECONDS,
    Recorder,
    begin,
    chunked,
    echo,
    ignore,
    more,
    put,
    read,
    reply,
    running,
)

EXPECTING = b"PUT /a HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"

REQUESTS = (
    (b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nEmpty:\r\n\r\n", b"GET /a [host,empty] "),
    (put(b"body"), b"PUT /a [content-length] body"),
    (
        b"POST /%ff HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;a=b\r\nbod\r\n1\r\ny\r\n0\r\nTrailer: t\r\nX: y\r\n\r\n",
        b"POST /%ff [transfer-encoding] body",
    ),
    (
        b"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nA: b\r\n",
        b"POST / [connection,http2-settings,content-length] GET /smuggled HTTP/1.1\r\nA: b\r\n",
    ),
    (
        b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        b"POST / [connection,transfer-encoding] body",
    ),
    (
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / [connection] ",
    ),
)


@pytest.mark.parametrize(("request_", "body"), REQUESTS)
def test_request_may_come_in_any_pieces(request_: bytes, body: bytes) -> None:
    both = request_ + GET
    with running(echo) as server:
        for at in range(1, len(both)):
            client = server.connect()
            client.send(both[:at])
            server.turn()
            client.send(both[at:])
            assert client.answer().body == body, at
            assert client.answer().body == b"GET /next [host] ", at
            client.close()


@pytest.mark.parametrize(("request_", "body"), REQUESTS)
def test_request_may_come_byte_by_byte(request_: bytes, body: bytes) -> None:
    with running(echo) as server:
        client = server.connect()
        for byte in request_ + GET:
            client.send(bytes([byte]))
            server.turn()
        assert client.answer().body == body
        assert client.answer().body == b"GET /next [host] "


def test_requests_in_one_packet_are_answered_in_order() -> None:
    with running(echo) as server:
        client = server.connect()
        kinds = [REQUESTS[number % len(REQUESTS)] for number in range(60)]
        client.send(b"".join(request for request, _ in kinds))
        assert [client.answer().body for _ in kinds] == [body for _, body in kinds]


@pytest.mark.parametrize("request_", [GET, REQUESTS[-1][0]], ids=["plain", "upgrade"])
def test_too_many_waiting_requests_are_refused_after_the_others(request_: bytes) -> None:
    with running(ignore) as server:
        client = server.connect()
        client.send(request_ * 2000)
        statuses = [client.answer().status for _ in range(66)]
        assert statuses == [200] * 65 + [429]
        assert client.rest() == b""


def test_requests_that_come_later_wait_until_there_is_room() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await echo(scope, receive, send)

    with running(app) as server:
        client = server.connect()
        # Of several packets, the first is taken by itself: it is larger than what is read at once.
        client.send(put(bytes(MIB // 2)) + put(b"second"))
        server.turn()
        for number in range(50):
            client.send(put(b"%d" % number))
        server.turn()
        server.call(go_on.set)
        assert client.answer().body.endswith(b"\0")
        assert client.answer().body.endswith(b" second")
        for number in range(50):
            assert client.answer().body.endswith(b" %d" % number)


@pytest.mark.parametrize("size", [10, MIB, 20 * MIB])
def test_body_that_is_not_read_does_not_stand_in_the_way(size: int) -> None:
    with running(ignore) as server:
        client = server.connect()
        client.send(put(bytes(size)) + GET)
        assert client.answer().body == b"/a"
        assert client.answer().body == b"/next"


@pytest.mark.parametrize("size", [1, 32 * 1024, MIB, None])
def test_large_body_is_received_whole(size: int | None) -> None:
    digests: list[str] = []
    pieces: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        digest = hashlib.sha256()
        while True:
            message = await receive()
            assert message["type"] == "http.request"
            pieces.append(len(message["body"]))
            digest.update(message["body"])
            if not message["more_body"]:
                break
        digests.append(digest.hexdigest())
        await reply(send)

    body = os.urandom(200_001 if size == 1 else 32 * MIB + 1)
    with running(app) as server:
        client = server.connect()
        client.send((chunked(body, size) if size else put(body)) + GET)
        assert client.answer().status == client.answer().status == 200
    assert digests[0] == hashlib.sha256(body).hexdigest()
    # The first come as they come, the last is what is left, and there are only so many small ones.
    assert size == 1 or sum(pieces[:-2]) <= 64 * 1024 or max(pieces) >= GATHERED_BYTES
    assert max(pieces) <= GATHERED_BYTES + 256 * 1024


def test_small_piece_of_a_body_is_given_as_it_comes() -> None:
    app = Recorder()
    with running(app) as server:
        client = server.connect()
        client.send(put(bytes(100))[:-100])
        for number in range(1, 4):
            server.call(app.go_on.release)
            client.send(b"piece")
            server.wait(partial(app.has, number))
            assert app.messages[-1] == {"type": "http.request", "body": b"piece", "more_body": True}
        client.close()
        server.call(app.go_on.release)


def test_client_waits_while_the_application_does_not_read() -> None:
    go_on = asyncio.Event()
    bodies: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        bodies.append(await read(receive))
        await reply(send)

    body = os.urandom(64 * MIB)
    with running(app) as server:
        client = server.connect()
        client.send(put(body)[: -len(body)])
        client.socket.setblocking(False)
        view, refusals = memoryview(body), 0
        while refusals < 20:
            try:
                view = view[client.socket.send(view[:MIB]) :]
                refusals = 0
            except BlockingIOError:
                refusals += 1
                server.turn()
        (connection,) = server.connections()
        assert connection._reader.exchange is not None
        assert GATHERED_BYTES <= connection._reader.exchange._size < 2 * GATHERED_BYTES
        assert len(view) > 16 * MIB
        server.call(go_on.set)
        client.socket.settimeout(SECONDS)
        client.send(view)
        assert client.answer().status == 200
    assert bodies == [body]


def test_receive_that_is_cancelled_loses_nothing() -> None:
    timeouts = threading.Semaphore(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        is_whole = False
        while not is_whole:
            try:
                async with asyncio.timeout(0.001):
                    message = await receive()
            except TimeoutError:
                timeouts.release()
                continue
            body += message["body"]
            is_whole = not message["more_body"]
        await reply(send, body)

    with running(app) as server:
        client = server.connect()
        request = put(os.urandom(100))
        for at in range(0, len(request), 10):
            client.send(request[at : at + 10])
            # Several in a row, so that one of them began after this was sent.
            for _ in range(3 if 40 <= at < len(request) - 10 else 0):
                assert timeouts.acquire(timeout=SECONDS)
        assert client.answer().body == request[-100:]


def test_expecting_client_is_told_to_go_on_when_its_body_is_asked_for() -> None:
    with running(echo) as server:
        client = server.connect()
        client.send(EXPECTING)
        assert client.answer().status == 100
        client.send(b"body" + GET)
        assert client.answer().body == b"PUT /a [content-length,expect] body"
        assert not client.answer().is_last


def test_old_client_is_not_told_to_go_on() -> None:
    with running(echo) as server:
        client = server.connect()
        client.send(EXPECTING.replace(b"1.1", b"1.0") + b"body")
        assert client.answer().body == b"PUT /a [content-length,expect] body"
        assert client.rest() == b""


def test_expecting_client_whose_body_nobody_wants_is_answered_for_the_last_time() -> None:
    with running(ignore) as server:
        client = server.connect()
        client.send(EXPECTING)
        answer = client.answer()
        assert (answer.status, answer.is_last, client.rest()) == (200, True, b"")


@pytest.mark.parametrize("is_sent", [False, True])
def test_word_to_go_on_is_no_part_of_an_answer(is_sent: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, (b"content-length", b"6"))
        if is_sent:
            await more(send, b"ab")
        body = await read(receive)
        await more(send, body if is_sent else b"ab" + body, is_last=True)

    with running(app) as server:
        client = server.connect()
        client.send(EXPECTING)
        if is_sent:
            assert client.head()[0] == 200
            client.send(b"body")
            assert client.read(6) == b"abbody"
        else:
            assert client.answer().status == 100
            client.send(b"body")
            assert client.answer().body == b"abbody"
        assert client.rest() == b""


def test_scope_says_what_was_asked_and_by_whom() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send)

    with running(app) as server:
        client = server.connect()
        client.send(
            b"GET /a%2Fb%20%C3%A4%ff?c=%20&d HTTP/1.1\r\n"
            b"Host: H\r\nX-A: \t 1 2\t \r\nx-a: \xe4\r\n\r\n"
        )
        client.send(b"OPTIONS * HTTP/1.0\r\n\r\n")
        client.answer()
        client.answer()
        addresses = client.socket.getsockname(), client.socket.getpeername()
    assert scopes[0] == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a/b ä\ufffd",
        "raw_path": b"/a%2Fb%20%C3%A4%ff",
        "query_string": b"c=%20&d",
        "root_path": "",
        "headers": [(b"host", b"H"), (b"x-a", b"1 2"), (b"x-a", b"\xe4")],
        "client": addresses[0],
        "server": addresses[1],
        "extensions": {"http.response.zerocopysend": {}},
    }
    assert (scopes[1]["http_version"], scopes[1]["path"]) == ("1.0", "*")


@pytest.mark.parametrize(
    ("target", "raw_path", "query"),
    [
        (b"http://host", b"/", b""),
        (b"http://host?a=b", b"/", b"a=b"),
        (b"http://host:1/a%2F?b#c", b"/a%2F", b"b"),
        (b"//host/a", b"//host/a", b""),
        (b"/a#b?c", b"/a", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a?", b"/a", b""),
    ],
)
def test_target_has_a_path_and_a_query(target: bytes, raw_path: bytes, query: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["raw_path"] + b" " + scope["query_string"])

    with running(app) as server:
        client = server.connect()
        client.send(b"GET %b HTTP/1.1\r\n\r\n" % target)
        assert client.answer().body == raw_path + b" " + query


def test_unix_socket_is_served(tmp_path: Path) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send, await read(receive))

    with running(app, address=tmp_path / "socket") as server:
        client = server.connect()
        client.send(put(b"body"))
        assert client.answer().body == b"body"
    assert scopes[0]["client"] == ("", 0)
    assert scopes[0]["server"] == (str(tmp_path / "socket"), 0)
