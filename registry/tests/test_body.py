"""How a request's body is taken from the server: how often it is asked, and in which order."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from storagedriver_registry.api.body import Body
from storagedriver_registry.api.request import Message, Request
from storagedriver_registry.storage.bodies import Chunk
from storagedriver_registry.storage.errors import BodyInterruptedError

from registry.tests.client import Repository, sha256
from registry.tests.processes import ServerProcess

KIB, MIB = 2**10, 2**20


class Server:
    """Answers in the order in which it was asked, as soon as there is something to say."""

    def __init__(self, *pieces: bytes, is_cut: bool = False) -> None:
        self.asked = 0
        self.most_waiting = 0
        last: Message = {"type": "http.disconnect"} if is_cut else {"type": "http.request"}
        self._messages = [
            *({"type": "http.request", "body": piece, "more_body": True} for piece in pieces),
            last,
        ]
        self.waiting: list[asyncio.Future[Message]] = []

    def receive(self) -> asyncio.Future[Message]:
        """Be ASGI's `receive`, which begins at its call."""
        self.asked += 1
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        asyncio.get_running_loop().call_soon(self._answer)
        return future

    def _answer(self) -> None:
        if self.waiting and self._messages:
            self.waiting.pop(0).set_result(self._messages.pop(0))


def read(server: Server, length: int | None = None) -> list[Chunk]:
    async def main() -> list[Chunk]:
        return [chunk async for chunk in Body(server.receive, length).chunks()]

    return asyncio.run(main())


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Body, "asks_ahead", True)


def pieces(count: int, size: int) -> list[bytes]:
    return [random.Random(number).randbytes(size) for number in range(count)]


def test_pieces_are_gathered_to_half_a_mebibyte() -> None:
    sent = pieces(80, 32 * KIB)
    assert [len(chunk) for chunk in read(Server(*sent))] == 5 * [MIB // 2]


def test_one_message_is_asked_for_at_a_time_where_their_order_is_not_known() -> None:
    sent = pieces(80, 32 * KIB)
    server = Server(*sent)
    assert b"".join(read(server)) == b"".join(sent)
    assert (server.most_waiting, server.asked) == (1, 81)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("has_length", [True, False])
def test_messages_asked_for_ahead_come_in_order_and_are_taken_back(has_length: bool) -> None:
    sent = pieces(80, 32 * KIB)
    whole = b"".join(sent)
    server = Server(*sent)
    assert b"".join(read(server, len(whole) if has_length else None)) == whole
    assert 8 < server.most_waiting <= 33
    assert all(future.cancelled() for future in server.waiting)


@pytest.mark.usefixtures("in_order")
def test_a_small_body_is_asked_for_alone() -> None:
    server = Server(b"x" * 1000, b"y" * 1000)
    assert read(server) == [b"x" * 1000 + b"y" * 1000]
    assert (server.most_waiting, server.asked) == (1, 3)


def test_nothing_more_is_asked_once_the_announced_bytes_are_there() -> None:
    server = Server(b"x" * 1000, b"y" * 1000)
    assert read(server, 2000) == [b"x" * 1000 + b"y" * 1000]
    assert server.asked == 2


@pytest.mark.parametrize("asks_ahead", [True, False])
def test_what_came_before_the_client_went_away_is_given(
    monkeypatch: pytest.MonkeyPatch, asks_ahead: bool
) -> None:
    monkeypatch.setattr(Body, "asks_ahead", asks_ahead)
    sent = pieces(5, 32 * KIB)

    async def main() -> bytes:
        given = []
        with pytest.raises(BodyInterruptedError):
            async for chunk in Body(Server(*sent, is_cut=True).receive, None).chunks():
                given.append(chunk)
        return b"".join(given)

    assert asyncio.run(main()) == b"".join(sent)


def test_longer_body_than_announced_is_refused() -> None:
    with pytest.raises(BodyInterruptedError):
        read(Server(b"x" * 1000, b"y" * 1000), 1500)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
def test_request_without_a_body_asks_for_none(headers: list[tuple[bytes, bytes]]) -> None:
    server = Server()

    async def main() -> list[Chunk]:
        scope = {"method": "PUT", "http_version": "1.1", "headers": headers}
        return [chunk async for chunk in Request(scope, server.receive, "/", "").chunks()]

    assert (asyncio.run(main()), server.asked) == ([], 0)


def test_bytes_of_several_streams_in_small_chunks_keep_their_order(server: ServerProcess) -> None:
    def push(number: int) -> None:
        sizes = random.Random(number)
        data = sizes.randbytes(8 * MIB)
        cuts = sorted(sizes.randrange(len(data)) for _ in range(1500))
        streamed = (data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a)
        with httpx.Client(base_url=server.url, timeout=60) as http:
            repository = Repository(http, f"body/order{number}")
            response = http.patch(repository.begin(), content=streamed)
            location = repository.location(response)
            assert repository.finish(location, sha256(data)).status_code == 201
            assert repository.blob(sha256(data)).content == data

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(push, range(4)))
