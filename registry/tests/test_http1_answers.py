"""HTTP/1.1 in the clear: answers, and how long they are said to be."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from storagedriver_registry.api.request import ASGIApp, Message, Receive, Scope, Send

from registry.tests.http1_server import (
    GET,
    MIB,
    SECONDS,
    begin,
    more,
    put,
    read,
    reply,
    running,
)

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
def test_application_that_does_not_answer_is_answered_for(app: ASGIApp) -> None:
    with running(app) as server:
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
