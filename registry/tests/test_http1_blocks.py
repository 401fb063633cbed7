"""Large bodies as views of memory that is used again, for applications that take them."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import mmap
import os
import threading

import pytest
from storagedriver_registry.api.request import Receive, Scope, Send
from storagedriver_registry.serving.http1 import blocks
from storagedriver_registry.serving.http1.blocks import BLOCK_BYTES, Blocks

from registry.tests.http1_server import GET, MIB, chunked, put, reply, running
from registry.tests.serving import eventually


def address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def test_block_is_free_when_its_last_view_is_gone() -> None:
    pool = Blocks()
    block = pool.take()
    first, part = address(block), block[5:7]
    assert (len(block), first % mmap.PAGESIZE) == (BLOCK_BYTES, 0)
    part[:] = b"ab"
    del block
    for _ in range(3):
        other = pool.take()
        assert address(other) != first
        other[:] = bytes(BLOCK_BYTES)
        del other
    assert bytes(part) == b"ab"
    rest = part[1:]
    del part
    assert address(pool.take()) != first
    del rest
    assert address(pool.take()) == first


def test_block_comes_back_from_any_thread() -> None:
    pool = Blocks()
    held = [pool.take()]
    first = address(held[0])
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert address(pool.take()) == first


def test_only_so_many_free_blocks_are_kept() -> None:
    pool = Blocks()
    held = [pool.take() for _ in range(20)]
    held.clear()
    assert len(pool._free) == blocks._MOST_KEPT


class Keeper:
    """An application that keeps every part of a body, and takes views."""

    takes_views = True

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.is_cut = False
        self.over = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_more = True
        while is_more and not self.is_cut:
            message = await receive()
            self.is_cut = message["type"] == "http.disconnect"
            self.parts.append(message.get("body", b""))
            is_more = message.get("more_body", False)
        if not self.is_cut:
            await reply(send)
        self.over.set()

    @property
    def views(self) -> list[memoryview]:
        return [part for part in self.parts if isinstance(part, memoryview)]


@pytest.mark.parametrize("chunk", [1000, 32 * 1024, 700_001, MIB, None])
def test_large_body_comes_in_views_and_stays_while_they_are_there(chunk: int | None) -> None:
    app, body = Keeper(), os.urandom(9 * MIB + 12_345)
    with running(app) as server:
        client = server.connect()
        client.send(put(body) if chunk is None else chunked(body, chunk))
        assert client.answer().status == 200
        # Blocks that nobody holds are filled with something else meanwhile.
        other = Keeper()
        server.server.app = other
        client.send(put(bytes(9 * MIB)))
        assert client.answer().status == 200
        assert b"".join(other.parts) == bytes(9 * MIB)
    assert b"".join(app.parts) == body
    assert sum(map(len, app.views)) > 7 * MIB
    # A disk takes them from where they are: see the driver for files.
    offset, whole = 0, 0
    for part in app.parts:
        if isinstance(part, memoryview):
            assert (address(part) - offset) % BLOCK_BYTES % mmap.PAGESIZE == 0
            whole += len(part) == BLOCK_BYTES
        offset += len(part)
    assert whole >= 14


def test_application_that_does_not_ask_for_views_gets_bytes() -> None:
    class Ordinary(Keeper):
        takes_views = False

    app = Ordinary()
    with running(app) as server:
        client = server.connect()
        client.send(put(bytes(5 * MIB)))
        assert client.answer().status == 200
    assert not app.views
    assert sum(map(len, app.parts)) == 5 * MIB


@pytest.mark.parametrize("size", [100, 64 * 1024 + 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * MIB + 1])
def test_what_has_come_of_a_body_that_is_cut_off_is_given(size: int) -> None:
    app, body = Keeper(), os.urandom(size)
    with running(app) as server:
        client = server.connect()
        client.send(put(body + b"more")[:-4])
        client.close()
        assert app.over.wait(60)
    assert app.is_cut
    assert b"".join(app.parts) == body


def test_blocks_of_bodies_that_are_over_or_were_left_are_free() -> None:
    app = Keeper()
    with running(app) as server:
        pool = server.server.blocks
        assert pool is not None
        for is_cut in (False, True):
            client = server.connect()
            client.send(put(bytes(BLOCK_BYTES + 100_000))[: -1 if is_cut else None])
            if is_cut:
                client.close()
            else:
                assert client.answer().status == 200
            assert app.over.wait(60)
            app.over.clear()
            app.parts.clear()
            server.wait(lambda: gc.collect() >= 0 and len(pool._free) == 2)


def test_block_of_a_body_that_nobody_reads_is_free_once_there_is_an_answer() -> None:
    go_on = asyncio.Event()

    class Deaf(Keeper):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await go_on.wait()
            await reply(send)

    with running(Deaf()) as server:
        pool = server.server.blocks
        assert pool is not None
        client = server.connect()
        client.send(put(bytes(MIB))[: -MIB + 100_000])
        eventually(lambda: server.requests() == 1)
        client.send(bytes(100_000))
        (connection,) = server.connections()
        exchange = connection._reader.exchange
        server.wait(lambda: exchange is not None and exchange._received == 200_000)
        server.call(go_on.set)
        assert client.answer().status == 200
        server.wait(lambda: len(pool._free) == 1)
        client.send(bytes(MIB - 200_000) + GET)
        assert client.answer().status == 200
