"""Files that are sent over HTTP/1.1: turns, threads, faults, and what is in memory."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
import weakref
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry.api.request import (
    SEND_FILE,
    ASGIApp,
    Receive,
    Scope,
    Send,
)
from storagedriver_registry.serving.http1 import sending

from registry.tests.http1_server import (
    GET,
    MIB,
    SECONDS,
    begin,
    read_from_memory,
    read_nothing,
    running,
)

DATA = os.urandom(3 * MIB + 7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def whole(path: Path, length: int = len(DATA)) -> ASGIApp:
    """Give an application that answers with a file."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with FileIO(path) as file:
            await begin(send, (b"content-length", b"%d" % length))
            await send({"type": SEND_FILE, "file": file, "offset": 0, "count": length})

    return app


# Turns, and threads.


def test_fast_client_leaves_others_their_turn(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    turn, length = 0, 64 * MIB

    def note(file: int, offset: int, buffer: memoryview) -> memoryview:
        turns.append(turn)
        assert len(buffer) <= MIB
        return buffer

    def tick() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(tick)

    monkeypatch.setattr(sending, "_read_from_memory", note)
    with running(whole(path, length)) as server:
        server.call(tick)
        client = server.connect()
        client.send(GET)
        assert len(client.answer().body) == length
    assert len(turns) >= 64
    assert len(set(turns)) == len(turns)


@pytest.mark.parametrize("is_in_memory", [True, False])
@pytest.mark.parametrize("is_slow", [True, False])
def test_only_files_that_are_not_in_memory_take_a_thread(
    is_in_memory: bool, is_slow: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    full = threading.Event()
    sendfile, wait_for_room = os.sendfile, sending.FileSender._room

    def note_sent(out: int, file: int, offset: int, count: int) -> int:
        threads.add(threading.get_ident())
        return sendfile(out, file, offset, count)

    def note_read(file: int, offset: int, buffer: memoryview) -> memoryview:
        if not is_in_memory:
            return buffer[:0]
        threads.add(threading.get_ident())
        return read_from_memory(file, offset, buffer)

    async def note_full(sender: sending.FileSender) -> None:
        full.set()
        await wait_for_room(sender)

    monkeypatch.setattr(os, "sendfile", note_sent)
    monkeypatch.setattr(sending, "_read_from_memory", note_read)
    monkeypatch.setattr(sending.FileSender, "_room", note_full)
    buffers = 64 * 1024 if is_slow else None
    with running(whole(path), send_bytes=buffers) as server:
        loop, before = server.call(threading.get_ident), threading.active_count()
        client = server.connect(receive_bytes=buffers)
        client.send(GET + GET)
        assert full.wait(SECONDS if is_slow else 0) or not is_slow
        assert [client.answer().body == DATA for _ in range(2)] == [True, True]
        assert threading.active_count() == before or not is_in_memory
    assert threads == {loop} if is_in_memory else loop not in threads


def test_little_is_read_for_a_client_that_takes_little(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def note(file: int, offset: int, buffer: memoryview) -> memoryview:
        sizes.append(len(buffer))
        return read_from_memory(file, offset, buffer)

    monkeypatch.setattr(sending, "_read_from_memory", note)
    buffers = 16 * 1024
    with running(whole(path), send_bytes=buffers) as server:
        client = server.connect(receive_bytes=buffers)
        client.send(GET)
        assert client.answer().body == DATA
    assert sizes[0] == sending.TURN_BYTES
    assert sum(sizes) < sending.TURN_BYTES + 3 * len(DATA)


def test_file_that_is_in_memory_in_part_is_sent_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def read(file: int, offset: int, buffer: memoryview) -> memoryview:
        nonlocal reads
        reads += 1
        return read_from_memory(file, offset, buffer[:100_000]) if reads % 2 else buffer[:0]

    monkeypatch.setattr(sending, "_read_from_memory", read)
    with running(whole(path)) as server:
        client = server.connect()
        client.send(GET + GET)
        assert [client.answer().body == DATA for _ in range(2)] == [True, True]
    assert reads > 4


# What goes wrong on the way.


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.ETIMEDOUT])
@pytest.mark.parametrize("is_in_memory", [True, False])
def test_what_comes_after_a_part_that_failed_is_not_sent(
    number: int, is_in_memory: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendfile, failed = os.sendfile, threading.Event()

    def fail_once(offset: int) -> None:
        if offset >= MIB and not failed.is_set():
            failed.set()
            raise OSError(number, "the file's server does not answer")

    def send_file(out: int, file: int, offset: int, count: int) -> int:
        fail_once(offset)
        return sendfile(out, file, offset, count)

    def read(file: int, offset: int, buffer: memoryview) -> memoryview:
        if not is_in_memory:
            return buffer[:0]
        fail_once(offset)
        return read_from_memory(file, offset, buffer)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with FileIO(path) as file:
            await begin(send, (b"content-length", b"%d" % len(DATA)))
            for at in range(0, len(DATA), MIB):
                count = min(MIB, len(DATA) - at)
                part = {"type": SEND_FILE, "file": file, "offset": at, "count": count}
                await send({**part, "more_body": at + count < len(DATA)})

    monkeypatch.setattr(sending, "_read_from_memory", read)
    monkeypatch.setattr(os, "sendfile", send_file)
    with running(app) as server:
        client = server.connect()
        client.send(GET + GET)
        assert client.head()[0] == 200
        came = b""
        with suppress(ConnectionError):
            came = client.rest()
        assert failed.is_set()
        assert len(came) <= MIB and DATA.startswith(came)


def test_little_is_asked_for_a_client_that_is_gone(path: Path) -> None:
    asked = 0
    over = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        with FileIO(path) as file:
            length = 1000 * MIB
            await begin(send, (b"content-length", b"%d" % length))
            await receive()
            gone = asyncio.ensure_future(receive())
            while not gone.done() and asked < 1000:
                asked += 1
                part = {"type": SEND_FILE, "file": file, "offset": 0, "count": MIB}
                await send({**part, "more_body": True})
        over.set()

    with running(app, send_bytes=64 * 1024) as server:
        client = server.connect(receive_bytes=64 * 1024)
        client.send(GET)
        client.read(1000)
        client.reset()
        assert over.wait(SECONDS)
    assert asked < 10


@pytest.mark.parametrize("error", [BlockingIOError, BrokenPipeError])
def test_sender_is_not_left_to_the_collector(
    error: type[OSError], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendfile, failed = os.sendfile, threading.Event()

    def fail_once(out: int, file: int, offset: int, count: int) -> int:
        if not failed.is_set():
            failed.set()
            raise error
        return sendfile(out, file, offset, count)

    made: list[weakref.ref[sending.FileSender]] = []
    begin_one = sending.FileSender.__init__

    def note(self: sending.FileSender, *args: Any) -> None:
        made.append(weakref.ref(self))
        begin_one(self, *args)

    monkeypatch.setattr(sending.FileSender, "__init__", note)
    monkeypatch.setattr(sending, "_read_from_memory", read_nothing)
    monkeypatch.setattr(os, "sendfile", fail_once)
    gc.disable()
    try:
        with running(whole(path)) as server:
            client = server.connect()
            client.send(GET)
            with suppress(AssertionError, ConnectionError):
                client.answer()
            client.close()
            server.wait(lambda: not server.server._connections)
            server.turn()
            assert [ref() for ref in made] == [None]
    finally:
        gc.enable()


# What is in memory.


def in_memory(file: FileIO, offset: int = 0) -> bytes:
    buffer = memoryview(bytearray(len(DATA)))
    return bytes(sending._read_from_memory(file.fileno(), offset, buffer))


def test_file_that_was_just_written_is_in_memory(path: Path) -> None:
    with FileIO(path) as file:
        assert in_memory(file) == DATA
        assert in_memory(file, len(DATA) - 1) == DATA[-1:]
        assert in_memory(file, len(DATA)) == b""


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EOPNOTSUPP, errno.EIO])
def test_nothing_is_in_memory_where_a_look_fails(
    number: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preadv(*_: Any) -> int:
        raise OSError(number, "not now")

    monkeypatch.setattr(os, "preadv", preadv)
    with FileIO(path) as file:
        assert in_memory(file) == b""


def test_nothing_is_in_memory_where_the_system_does_not_tell(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_NOWAIT", None)
    with FileIO(path) as file:
        assert in_memory(file) == b""


def test_file_that_the_kernel_has_let_go_comes_from_the_disk(path: Path) -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    kinds = {mount[1]: mount[2] for mount in mounts}
    kind = next(kinds[str(it)] for it in path.resolve().parents if str(it) in kinds)
    if kind == "tmpfs":
        pytest.skip("files on tmpfs are always in memory")
    with FileIO(path) as file, running(whole(path)) as server:
        client = server.connect()

        def is_in_memory() -> bool:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return in_memory(file) == DATA

        os.fsync(file.fileno())
        # A look begins to read, and a fast disk has done so before the look is over, now and then.
        assert not all(is_in_memory() for _ in range(100))
        client.send(GET)
        assert client.answer().body == DATA
        assert in_memory(file) == DATA
