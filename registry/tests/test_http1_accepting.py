"""Connections that are taken, and those that are left to other processes.

Whoever waits at the listener is two acceptors of one loop here, and processes in
test_serving_workers.py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from storagedriver_registry.serving.http1 import accepting
from storagedriver_registry.serving.http1.accepting import Acceptor
from storagedriver_registry.serving.sockets import Listener, bind

from registry.tests.http1_server import SECONDS

FOREVER = 3600.0


class Taker:
    """An acceptor, and the connections that it has taken."""

    def __init__(self, listener: Listener, *, is_shared: bool) -> None:
        self.transports: list[asyncio.BaseTransport] = []
        self.acceptor = Acceptor(listener, self._make, is_shared=is_shared)

    @property
    def taken(self) -> int:
        return len(self.transports)

    async def has_taken(self, count: int) -> None:
        """Wait until it has taken so many."""
        await until(lambda: self.taken == count)

    def _make(self) -> asyncio.Protocol:
        taker = self

        class Taken(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                taker.transports.append(transport)

        return Taken()


class Place:
    """A listener, who takes connections from it, and clients."""

    def __init__(self) -> None:
        self.listener = bind(("127.0.0.1", 0))
        self.listener.listen()
        self._address = self.listener.socket.getsockname()
        self._takers: list[Taker] = []
        self._clients: list[socket.socket] = []

    def taker(self, *, is_shared: bool = True) -> Taker:
        own = Listener(self.listener.socket.dup(), "here")
        self._takers.append(Taker(own, is_shared=is_shared))
        return self._takers[-1]

    def connect(self, count: int) -> list[socket.socket]:
        """Connect clients, which wait until somebody takes them."""
        new = [socket.create_connection(self._address, timeout=SECONDS) for _ in range(count)]
        self._clients += new
        return new

    async def close(self) -> None:
        for taker in self._takers:
            await taker.acceptor.stop()
            for transport in taker.transports:
                transport.close()
        for client in self._clients:
            client.close()
        self.listener.close()


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    made = Place()
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
    try:
        yield made
    finally:
        await made.close()
    assert problems == []


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(test())


async def turns() -> None:
    """Let the loop do all that can be done without waiting."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110 - it may be of several takers, and no one tells
            await asyncio.sleep(0.001)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Give what acceptors have looked away for."""
    seconds: list[float] = []
    look_away = Acceptor._look_away

    def note(self: Acceptor, for_: float | None = None) -> None:
        if for_ is not None:
            seconds.append(for_)
        look_away(self, for_)

    monkeypatch.setattr(Acceptor, "_look_away", note)
    yield seconds


def test_connections_that_wait_are_taken_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "_PAUSE_SECONDS", FOREVER)

    async def test() -> None:
        async with place() as at:
            at.connect(8)
            takers = [at.taker() for _ in range(3)]
            await turns()
            assert [taker.taken for taker in takers] == [1, 1, 1]

    run(test)


def test_connections_that_nobody_else_takes_are_taken_after_a_while(pauses: list[float]) -> None:
    async def test() -> None:
        async with place() as at:
            at.connect(8)
            taker = at.taker()
            await taker.has_taken(8)

    run(test)
    assert pauses == [accepting._PAUSE_SECONDS] * 8


def test_crowd_is_taken_without_pauses_until_it_is_quiet_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "_ONE_BY_ONE", 3)
    monkeypatch.setattr(accepting, "_QUIET_SECONDS", 1.0)

    async def test() -> None:
        async with place() as at:
            taker = at.taker()
            for crowd in (1, 2):
                at.connect(40)
                await taker.has_taken(40 * crowd)
                assert len(pauses) == 3 * crowd
                await asyncio.sleep(1.1)

    run(test)


def test_connections_are_not_shared_with_nobody(pauses: list[float]) -> None:
    async def test() -> None:
        async with place() as at:
            at.connect(100)
            taker = at.taker(is_shared=False)
            await taker.has_taken(100)

    run(test)
    assert pauses == []


def test_clients_that_wait_are_refused_when_there_is_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "_PAUSE_SECONDS", FOREVER)

    async def test() -> None:
        async with place() as at:
            at.connect(1)
            taker = at.taker()
            await turns()
            (waiting,) = at.connect(1)
            at.listener.close()
            await taker.acceptor.stop()
            assert taker.taken == 1
            with pytest.raises(ConnectionError):
                waiting.recv(1)
            with pytest.raises(ConnectionRefusedError):
                at.connect(1)

    run(test)


def test_pause_ends_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "_PAUSE_SECONDS", 0.05)

    async def test() -> None:
        async with place() as at:
            at.connect(1)
            taker = at.taker()
            await taker.has_taken(1)
            taker.acceptor.close()
            await asyncio.sleep(0.1)

    run(test)


def test_who_finds_none_does_not_look_away(pauses: list[float]) -> None:
    async def test() -> None:
        async with place() as at:
            takers = [at.taker() for _ in range(3)]
            at.connect(1)
            await until(lambda: sum(taker.taken for taker in takers) == 1)
            await turns()

    run(test)
    assert len(pauses) == 1


def test_connection_that_has_ended_is_no_reason_to_look_away(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, aborted = socket.socket.accept, iter([True])

    def accept_later(self: socket.socket) -> tuple[socket.socket, Any]:
        # Linux gives such a connection as any other; other systems do not.
        if next(aborted, False):
            raise ConnectionAbortedError
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", accept_later)

    async def test() -> None:
        async with place() as at:
            taker = at.taker(is_shared=False)
            at.connect(1)
            await taker.has_taken(1)

    run(test)
    assert (pauses, next(aborted, None)) == ([], None)


def test_connection_that_is_taken_at_the_end_is_served() -> None:
    async def test() -> None:
        async with place() as at:
            taker = at.taker(is_shared=False)
            at.connect(1)
            while not taker.acceptor._connecting:  # noqa: ASYNC110 - an event would come a turn too late
                await asyncio.sleep(0)
            await taker.acceptor.stop()
            assert taker.taken == 1

    run(test)
