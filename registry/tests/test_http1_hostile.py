"""HTTP/1.1 in the clear: broken requests, and ones that are made to be misunderstood."""

from __future__ import annotations

import pytest
from storagedriver_registry.api.request import Receive, Scope, Send

from registry.tests.http1_server import RunningServer, begin, echo, ignore, more, read, running

KIB = 1024
GET = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


def assert_serves(server: RunningServer) -> None:
    client = server.connect()
    client.send(GET)
    assert client.answer().status == 200
    client.close()


def get(*headers: bytes) -> bytes:
    return b"\r\n".join([b"POST /a HTTP/1.1", *headers, b"", b""])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"garbage\r\n\r\n", 501),
        (bytes(range(256)) + b"\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET\t/ HTTP/1.1\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\n\r\n", 501),
        (b"GET / HTTP/1.1\n\n", 400),
        (b"GET / HTTP/1.9\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"GET a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET /\0 HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET http:// HTTP/1.1\r\n\r\n", 400),
        (b"GET http://h:99999/ HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT h:443 HTTP/1.1\r\n\r\n", 501),
        (b"CONNECT /a HTTP/1.1\r\nContent-Length: 26\r\n\r\n", 501),
        (get(b"A: b", b" folded"), 400),
        (get(b"A: b", b"\tfolded"), 400),
        (get(b"A : b"), 400),
        (get(b" A: b"), 400),
        (get(b": b"), 400),
        (get(b"A"), 400),
        (get(b"\x80: b"), 400),
        (get(b"A: b\0"), 400),
        (get(b"A: b\x7f"), 400),
        (get(b"A: b\rB: c"), 400),
        (get(b"A: b\nB: c"), 400),
        (get(b"Content-Length: -1"), 400),
        (get(b"Content-Length: +1"), 400),
        (get(b"Content-Length: 0x1"), 400),
        (get(b"Content-Length: 1 1"), 400),
        (get(b"Content-Length: 1, 1"), 400),
        (get(b"Content-Length:"), 400),
        (get(b"Content-Length: 18446744073709551616"), 400),
        (get(b"Content-Length: 1", b"Content-Length: 2"), 400),
        (get(b"Content-Length: 1", b"Content-Length: 1"), 400),
        (get(b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
        (get(b"Transfer-Encoding: chunked", b"Content-Length: 1"), 400),
        (get(b"Content-Length: 1", b"Transfer-Encoding: identity"), 400),
        (get(b"Content-Length: 1", b"Transfer-Encoding:", b" chunked"), 400),
        (get(b"Transfer-Encoding : chunked"), 400),
        (get(b"Transfer-Encoding: chunked, identity"), 400),
        (get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 400),
        (get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
        (get(b"Transfer-Encoding:"), 501),
        (get(b"Transfer-Encoding: xchunked"), 501),
        (get(b"Transfer-Encoding: identity"), 501),
        (get(b"Transfer-Encoding: gzip, chunked"), 501),
        (get(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"), 501),
        (get(b'Transfer-Encoding: "chunked"'), 501),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
@pytest.mark.parametrize("before", [b"", GET], ids=["alone", "behind"])
def test_broken_head_is_refused_and_nothing_behind_it_is_read(
    sent: bytes, status: int, before: bytes
) -> None:
    asked: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["raw_path"])
        await echo(scope, receive, send)

    with running(app) as server:
        client = server.connect()
        client.send(before + sent + SMUGGLED)
        if before:
            assert client.answer().body == b"GET /next [host] "
        answer = client.answer()
        assert (answer.status, answer.is_last) in {(status, True), (400, True)}
        assert client.rest() == b""
        assert_serves(server)
    assert asked == [b"/next"] * (2 if before else 1)


BROKEN_BODIES = (
    b"x\r\n",
    b"-1\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"3\nabc\n0\n\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n",
    b"10000000000000000\r\nabc",
    b"3;\nabc\r\n0\r\n\r\n",
    b'3;a="b\r\n"\r\nabc\r\n0\r\n\r\n',
    b"0\r\nA\r\n\r\n",
    b"0\r\nA : b\r\n\r\n",
    b"0\r\nA: b\nC: d\r\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
)


@pytest.mark.parametrize("body", BROKEN_BODIES)
@pytest.mark.parametrize("is_split", [False, True])
def test_broken_body_is_never_whole_and_is_answered(body: bytes, is_split: bool) -> None:
    with running(echo) as server:
        client = server.connect()
        client.send(CHUNKED)
        if is_split:
            server.turn()
        client.send(body + SMUGGLED)
        answer = client.answer()
        assert (answer.status, answer.is_last) == (400, True)
        assert client.rest() == b""
        assert_serves(server)


def test_connection_ends_when_a_body_breaks_that_was_answered_already() -> None:
    with running(ignore) as server:
        client = server.connect()
        client.send(CHUNKED)
        assert client.answer().status == 200
        client.send(b"x\r\n" + SMUGGLED)
        assert client.rest() == b""


def test_answer_that_is_begun_goes_on_when_the_body_breaks() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send, (b"content-length", b"4"))
        await more(send, b"bo")
        with pytest.raises(EOFError):
            await read(receive)
        await more(send, b"dy", is_last=True)

    with running(app) as server:
        client = server.connect()
        client.send(CHUNKED)
        assert client.head()[0] == 200
        client.send(b"x\r\n")
        assert client.rest() == b"body"


ENDLESS = (
    b"GET /",
    b"GET / HTTP/1.1\r\nA",
    b"GET / HTTP/1.1\r\nA: ",
    b"\r\n",
)


@pytest.mark.parametrize("start", ENDLESS)
@pytest.mark.parametrize("size", [1000, 10_000, 256 * KIB])
def test_endless_head_is_refused(start: bytes, size: int) -> None:
    part = b"\r\n" if start == b"\r\n" else b"a"
    with running(echo) as server:
        client = server.connect()
        client.send(start)
        sent = 0
        while not server.call(lambda: [it for it in server.server._connections if it.is_deaf]):
            client.send(part * (size // len(part)))
            server.turn()
            sent += size
            assert sent <= 1024 * KIB
        assert client.answer().status == 431
        assert_serves(server)


def test_endless_list_of_headers_is_refused() -> None:
    with running(echo) as server:
        client = server.connect()
        client.send(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (768 * KIB // 6))
        assert client.answer().status == 431


@pytest.mark.parametrize("part", [b"a", b"a: b\r\n"])
def test_endless_headers_after_a_body_break_it_off(part: bytes) -> None:
    with running(echo) as server:
        client = server.connect()
        client.send(CHUNKED + b"3\r\nabc\r\n0\r\n")
        server.turn()
        client.send(part * (768 * KIB // len(part)))
        assert client.answer().status == 400
        assert client.rest() == b""


@pytest.mark.parametrize("size", [100, 1000, 100_000, 200_000])
def test_long_head_is_taken_in_any_pieces(size: int) -> None:
    head = b"GET / HTTP/1.1\r\nAuthorization: %b\r\n\r\n" % (b"a" * 200_000)
    with running(ignore) as server:
        client = server.connect()
        for at in range(0, len(head), size):
            client.send(head[at : at + size])
            server.turn()
        assert client.answer().status == 200


def test_head_is_not_longer_for_what_came_before_it() -> None:
    with running(ignore) as server:
        client = server.connect()
        # What is read at once is the body but for its begin, and the begin of the next head.
        client.send(b"PUT /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (256 * KIB - 4))
        server.turn()
        client.send(bytes(256 * KIB - 4) + GET[:4])
        server.turn()
        client.send(GET[4:])
        assert client.answer().body == b"/a"
        assert client.answer().body == b"/next"


def test_trailers_are_headers_of_no_request() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    with running(app) as server:
        client = server.connect()
        rest = b"1\r\na\r\n0\r\nAuthorization: b\r\nExpect: 100-continue\r\n\r\n" + GET
        for at in range(len(rest)):
            client.send(CHUNKED + rest[:at])
            server.turn()
            client.send(rest[at:])
            assert client.answer().body == b"POST /a [transfer-encoding] a"
            assert client.answer().body == b"GET /next [host] "
    assert {len(scope["headers"]) for scope in scopes} == {1}


def test_upgrade_hides_no_request_in_its_body() -> None:
    body = SMUGGLED * 2
    with running(echo) as server:
        client = server.connect()
        client.send(
            get(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: %d" % len(body))
            + (body + GET)
        )
        assert client.answer().body == b"POST /a [connection,content-length] " + body
        assert client.answer().body == b"GET /next [host] "


def test_what_comes_after_the_last_request_is_not_read() -> None:
    with running(echo) as server:
        client = server.connect()
        client.send(get(b"Connection: close") + SMUGGLED)
        answer = client.answer()
        assert (answer.body, answer.is_last) == (b"POST /a [connection] ", True)
        assert client.rest() == b""
