"""Bodies that pass through the application: what waits for a slow client in memory is little."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from storagedriver_registry.api import response as response_module
from storagedriver_registry.api.request import Message, Request
from storagedriver_registry.api.response import StreamResponse

from registry.tests.client import Repository, sha256
from registry.tests.serving import eventually, served

KIB, MIB = 2**10, 2**20


class Clock:
    """Time that goes on when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Chunks:
    """A body of so many chunks of 1 MiB."""

    def __init__(self, count: int) -> None:
        self._left = count

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *error: Any) -> object:
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(self._left):
            yield bytes([number % 256]) * MIB


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bytes]]:
    """Give what sends a body, and tells in which pieces."""

    def send(count: int, seconds: Callable[[int], float]) -> list[bytes]:
        """Send a body of so many MiB to a client that takes so long for a piece of a size."""
        clock = Clock()
        pieces: list[bytes] = []
        monkeypatch.setattr(response_module, "time", clock)

        async def take(message: Message) -> None:
            if body := message.get("body"):
                clock.now += seconds(len(body))
                pieces.append(body)

        async def wait() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        request = Request({"method": "GET"}, wait, "/", "")
        answer = StreamResponse(200, (), Chunks(count), count * MIB)
        asyncio.run(answer.send(request, take, []))
        assert b"".join(pieces) == b"".join(bytes([number]) * MIB for number in range(count))
        return pieces

    return send


def test_pieces_grow_with_what_was_taken(sent: Callable[..., list[bytes]]) -> None:
    pieces = [len(piece) for piece in sent(80, lambda size: 0.0)]
    assert pieces[0] == 32 * KIB
    offset = 0
    for piece in pieces:
        assert piece <= max(32 * KIB, offset // 128)
        offset += piece
    assert max(pieces) == pieces[-1] == 512 * KIB
    # Each is a hop between threads.
    assert len(pieces) < 600


def test_pieces_are_what_the_client_takes_in_some_milliseconds(
    sent: Callable[..., list[bytes]],
) -> None:
    pieces = [len(piece) for piece in sent(40, lambda size: size / (20 * MIB))]
    assert 90 * KIB < max(pieces) < 110 * KIB


def test_pieces_for_who_is_slow_are_small_again(sent: Callable[..., list[bytes]]) -> None:
    taken = 0

    def stand_still(size: int) -> float:
        nonlocal taken
        taken += size
        return 0.0 if taken < 30 * MIB else 0.3

    pieces = sent(40, stand_still)
    offset, sizes = 0, {}
    for piece in pieces:
        sizes[offset] = len(piece)
        offset += len(piece)
    before = [size for begun, size in sizes.items() if 29 * MIB <= begun < 30 * MIB]
    after = [size for begun, size in sizes.items() if begun >= 31 * MIB]
    assert max(before) > 200 * KIB
    assert max(after) == 32 * KIB


def test_pieces_grow_anew_for_who_was_slow(sent: Callable[..., list[bytes]]) -> None:
    taken = 0

    def pause_once(size: int) -> float:
        nonlocal taken
        taken += size
        pauses = taken - size < 30 * MIB <= taken
        return 20.0 if pauses else size / (200 * MIB)

    offset, late = 0, []
    for piece in sent(60, pause_once):
        if offset > 55 * MIB:
            late.append(len(piece))
        offset += len(piece)
    # A share of what was taken since, and not of all.
    assert 64 * KIB < max(late) <= 30 * MIB // 128


def test_readers_that_stand_still_take_little_memory(tmp_path: Path) -> None:
    count, data = 8, os.urandom(MIB) * 32
    with served(tmp_path) as server, contextlib.ExitStack() as stack:
        with httpx.Client(base_url=server.url) as http:
            repository = Repository(http, "slow")
            repository.push_blob(data)
        path = repository.url(f"blobs/{sha256(data)}")
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        for _ in range(count):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
            reader.connect(("127.0.0.1", server.port))
            reader.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert reader.recv(12) == b"HTTP/1.1 200"
        seen = [-1]

        def stands_still() -> bool:
            seen.append(process.io_counters().read_chars)
            return len(seen) > 25 and seen[-25] == seen[-1]

        eventually(stands_still)
        held = (process.memory_info().rss - before) / count
        assert held < 2 * MIB
