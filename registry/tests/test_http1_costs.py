"""What HTTP/1.1 costs by itself: functions entered, and the hops that a large body would make.

Time says little on machines that are busy; these counts say when a change costs more.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType

import pytest
from storagedriver_registry.api.request import Message, Receive, Scope, Send
from storagedriver_registry.serving.http1.exchange import GATHERED_BYTES

from registry.tests.http1_server import RunningServer, ignore, reply, running

REQUESTS = 50
HEADERS = b"Host: registry.example\r\nUser-Agent: test/1\r\nAccept: */*\r\n"
MIB = 1024 * 1024


class Functions:
    """Counts the functions of the server that are entered or gone on with."""

    def __init__(self) -> None:
        self.entered: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        # Comprehensions are functions in some versions of Python: their names begin with `<`.
        name = frame.f_code.co_name
        is_ours = ".serving.http1" in frame.f_globals.get("__name__", "")
        if event == "call" and is_ours and not name.startswith("<"):
            self.entered[name] += 1


def counted(server: RunningServer) -> Functions:
    functions = Functions()
    server.call(lambda: sys.setprofile(functions))
    return functions


def over(server: RunningServer) -> None:
    server.call(lambda: sys.setprofile(None))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_request_without_a_body(method: str) -> None:
    with running(ignore) as server:
        client = server.connect()
        request = b"%b /v2/ HTTP/1.1\r\n%b\r\n" % (method.encode(), HEADERS)
        client.send(request)
        assert client.answer(method).status == 200
        functions = counted(server)
        for _ in range(REQUESTS):
            client.send(request)
            assert client.answer(method).status == 200
        over(server)
        each = functions.entered.total() / REQUESTS
    assert each == pytest.approx(32, abs=2), functions.entered


def test_request_is_received_once_and_answered_once() -> None:
    with running(ignore) as server:
        client = server.connect()
        functions = counted(server)
        for _ in range(REQUESTS):
            client.send(b"GET /v2/ HTTP/1.1\r\n%b\r\n" % HEADERS)
            assert client.answer().status == 200
        over(server)
    assert functions.entered["buffer_updated"] == REQUESTS
    assert functions.entered["write"] == REQUESTS
    assert functions.entered["run"] == REQUESTS, "a request that need not wait was made to"


@pytest.mark.parametrize("chunk", [32 * 1024, 1000 * 1000])
def test_large_body_is_given_by_large_pieces_however_it_is_sent(chunk: int) -> None:
    sizes: list[int] = []

    async def take(scope: Scope, receive: Receive, send: Send) -> None:
        message: Message = {"more_body": True}
        while message["more_body"]:
            message = await receive()
            sizes.append(len(message["body"]))
        await reply(send)

    size, data = 64 * MIB, b"x" * chunk
    with running(take) as server:
        client = server.connect()
        functions = counted(server)
        client.send(b"PATCH / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % HEADERS)
        for _ in range(size // chunk):
            client.send(b"%x\r\n%b\r\n" % (chunk, data))
        client.send(b"0\r\n\r\n")
        assert client.answer().status == 200
        over(server)
    assert sum(sizes) == size // chunk * chunk
    # Until 64 KiB have come they are given as they come.
    assert len(sizes) <= size // GATHERED_BYTES + 70
    assert max(sizes) <= 2 * GATHERED_BYTES
    # Less than that would be waited for and joined once more.
    assert all(each >= GATHERED_BYTES for each in sizes[70:-1])
    assert functions.entered["receive"] <= 2 * len(sizes)
