"""HTTP/1.1 in the clear: requests and answers, whole and in order."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from storagedriver_registry.api.request import Message, Receive, Scope, Send

from registry.tests.http1_server import (
    SECONDS,
    Recorder,
    begin,
    echo,
    ignore,
    more,
    read,
    reply,
    running,
)

MIB = 1024 * 1024
GET = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
EXPECTING = b"PUT /a HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"


def put(body: bytes, path: bytes = b"/a", *headers: bytes) -> bytes:
    lines = [b"PUT %b HTTP/1.1" % path, b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunks


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


# Reading.


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
    # The first come as they come, the last is what is left, and very small ones count for more.
    assert size == 1 or sum(pieces[:-2]) <= 64 * 1024 or max(pieces) >= MIB * 99 // 100
    assert max(pieces) <= MIB + 256 * 1024


def test_small_piece_of_a_body_is_given_as_it_comes() -> None:
    app = Recorder()
    with running(app) as server:
        client = server.connect()
        client.send(put(bytes(100))[:-100])
        for number in range(1, 4):
            server.call(app.go_on.release)
            client.send(b"piece")
            server.wait(lambda number=number: len(app.messages) == number)  # type: ignore[misc]
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
        assert connection._reading is not None
        assert MIB <= connection._reading._size < 2 * MIB
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


# Answering.

SAYS_CLOSE = (b"connection", b"Close")
LENGTH = (b"content-length", b"4")


@pytest.mark.parametrize(
    ("version", "says", "headers", "is_kept"),
    [
        (b"1.1", b"", [LENGTH], True),
        (b"1.1", b"", [], True),
        (b"1.1", b"Connection: close", [LENGTH], False),
        (b"1.1", b"", [LENGTH, SAYS_CLOSE], False),
        (b"1.0", b"", [LENGTH], False),
        (b"1.0", b"Connection: keep-alive", [LENGTH], True),
        (b"1.0", b"Connection: keep-alive", [LENGTH, SAYS_CLOSE], False),
        # Servers say how long an answer is, and applications do not.
        (b"1.1", b"", [(b"transfer-encoding", b"chunked")], True),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answer_says_whether_the_connection_goes_on(
    method: str, version: bytes, says: bytes, headers: list[tuple[bytes, bytes]], is_kept: bool
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, *headers)
        await more(send, b"bo")
        await more(send)
        await more(send, b"dy", is_last=True)

    request = b"%b / HTTP/%b\r\n%b\r\n\r\n" % (method.encode(), version, says)
    request = request.replace(b"\r\n\r\n\r\n", b"\r\n\r\n")
    with running(app) as server:
        client = server.connect()
        for _ in range(2 if is_kept else 1):
            client.send(request)
            answer = client.answer(method)
            assert answer.body == (b"body" if method == "GET" else b"")
            assert answer.is_last is not is_kept
        if not is_kept:
            assert client.rest() == b""


@pytest.mark.parametrize("status", [204, 304])
def test_answer_that_has_no_body_has_none(status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status})
        await more(send, b"body", is_last=True)

    with running(app) as server:
        client = server.connect()
        client.send(GET + GET)
        for _ in range(2):
            answer = client.answer()
            assert (answer.status, list(answer.headers)) == (status, ["date"])


@pytest.mark.parametrize("sizes", [(1, 2), (2, 3), ()])
def test_answer_of_another_length_than_announced_is_cut(sizes: tuple[int, ...]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, LENGTH)
        for size in sizes[:-1]:
            await more(send, bytes(size))
        if sizes:
            await more(send, bytes(sizes[-1]), is_last=True)

    with running(app) as server:
        client = server.connect()
        client.send(GET)
        with pytest.raises((AssertionError, ConnectionError, EOFError)):
            client.answer()
        client.assert_ends()


@pytest.mark.parametrize(
    ("version", "headers", "body"),
    [(b"1.1", [LENGTH], b"abc"), (b"1.1", [LENGTH], b"abcde"), (b"1.0", [], b"its end is no end")],
)
def test_answer_that_cannot_be_sent_is_another_one(
    version: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, *headers)
        await more(send, body, is_last=True)

    with running(app) as server:
        client = server.connect()
        client.send(b"GET / HTTP/%b\r\n\r\n" % version)
        answer = client.answer()
        assert (answer.status, answer.is_last) == (500, True)
        assert client.rest() == b""


def test_application_that_fails_before_anything_was_sent_is_answered_for() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, LENGTH)
        raise ValueError("the store is gone")

    with running(app) as server:
        client = server.connect()
        client.send(GET)
        assert client.answer().status == 500
        assert client.rest() == b""


def test_answer_in_chunks_that_is_not_finished_is_cut() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        await more(send, b"part")
        await read(receive)
        raise ValueError

    with running(app) as server:
        client = server.connect()
        client.send(put(b"body")[:-1])
        client.head()
        chunks = client.chunks()
        assert next(chunks) == b"part"
        client.send(b".")
        with pytest.raises((ConnectionError, EOFError)):
            next(chunks)


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def splits(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, b"", (b"location", b"/\r\nSet-Cookie: a=b"))


@pytest.mark.parametrize("app", [fails, returns, splits])
def test_application_that_does_not_answer_is_answered_for(app: Callable[..., None]) -> None:
    with running(app) as server:  # type: ignore[arg-type]
        client = server.connect()
        client.send(GET)
        answer = client.answer()
        assert (answer.status, answer.is_last) == (500, True)
        assert "Set-Cookie" not in answer.headers
        assert client.rest() == b""


def test_answer_begins_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, LENGTH)
        await more(send, b"b")
        with pytest.raises(RuntimeError):
            await begin(send, LENGTH)
        await more(send, b"ody", is_last=True)
        with pytest.raises(RuntimeError):
            await more(send, b"more", is_last=True)

    with running(app) as server:
        client = server.connect()
        client.send(GET + GET)
        assert [client.answer().body for _ in range(2)] == [b"body"] * 2


@pytest.mark.parametrize("is_before", [False, True])
def test_receive_after_the_answer_tells_that_it_is_over(is_before: bool) -> None:
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        asking = asyncio.ensure_future(receive())
        if is_before:
            await asyncio.sleep(0)
        await reply(send)
        told.append(await asking)

    with running(app) as server:
        client = server.connect()
        for _ in range(2):
            client.send(GET)
            assert client.answer().status == 200
    assert [message["type"] for message in told] == ["http.disconnect"] * 2


@pytest.mark.parametrize("size", [64 * 1024, MIB, 64 * MIB])
@pytest.mark.parametrize("has_length", [False, True])
def test_large_answer_comes_whole(size: int, has_length: bool) -> None:
    body = os.urandom(64 * MIB)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, *[(b"content-length", b"%d" % len(body))] * has_length)
        for at in range(0, len(body), size):
            await more(send, body[at : at + size])
        await more(send, is_last=True)

    with running(app) as server:
        client = server.connect()
        client.send(GET + GET)
        assert client.answer().body == body
        assert client.answer().body == body


def test_send_waits_for_the_client_and_lets_go_when_it_is_gone() -> None:
    sent: list[int] = []
    over = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        for _ in range(1000):
            await more(send, bytes(MIB))
            sent.append(1)
        over.set()

    with running(app) as server:
        client = server.connect()
        client.send(GET)
        server.wait(lambda: any(connection.is_full for connection in server.server._connections))
        assert len(sent) < 100
        client.reset()
        assert over.wait(SECONDS)


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
