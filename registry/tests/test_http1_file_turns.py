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

from registry.tests.http1_server import GET, MIB, SECONDS, begin, running

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
    turn = 0

    def note(out: int, file: int, offset: int, count: int) -> int:
        turns.append(turn)
        assert count <= MIB
        return count

    def tick() -> None:
        nonlocal turn
        turn += 1
        if len(turns) < 64:
            asyncio.get_running_loop().call_soon(tick)

    monkeypatch.setattr(sending, "_is_in_memory", lambda *_: True)
    monkeypatch.setattr(os, "sendfile", note)
    with running(whole(path, 64 * MIB)) as server:
        server.call(tick)
        client = server.connect()
        client.send(GET)
        server.wait(lambda: len(turns) >= 64)
    assert len(set(turns[:64])) == 64


@pytest.mark.parametrize("is_in_memory", [True, False])
@pytest.mark.parametrize("is_slow", [True, False])
def test_only_files_that_are_not_in_memory_take_a_thread(
    is_in_memory: bool, is_slow: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    full = threading.Event()
    sendfile = os.sendfile

    def note(out: int, file: int, offset: int, count: int) -> int:
        threads.add(threading.get_ident())
        try:
            return sendfile(out, file, offset, count)
        except BlockingIOError:
            full.set()
            raise

    monkeypatch.setattr(sending, "_is_in_memory", lambda *_: is_in_memory)
    monkeypatch.setattr(os, "sendfile", note)
    buffers = 64 * 1024 if is_slow else None
    with running(whole(path), send_bytes=buffers) as server:
        loop, before = server.call(threading.get_ident), threading.active_count()
        client = server.connect(receive_bytes=buffers)
        client.send(GET + GET)
        assert full.wait(SECONDS if is_slow else 0) or not is_slow
        assert [client.answer().body == DATA for _ in range(2)] == [True, True]
        assert threading.active_count() == before or not is_in_memory
    assert threads == {loop} if is_in_memory else loop not in threads


# What goes wrong on the way.


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.ETIMEDOUT])
@pytest.mark.parametrize("is_in_memory", [True, False])
def test_what_comes_after_a_part_that_failed_is_not_sent(
    number: int, is_in_memory: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendfile, failed = os.sendfile, threading.Event()

    def fail_once(out: int, file: int, offset: int, count: int) -> int:
        if offset >= MIB and not failed.is_set():
            failed.set()
            raise OSError(number, "the file's server does not answer")
        return sendfile(out, file, offset, count)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with FileIO(path) as file:
            await begin(send, (b"content-length", b"%d" % len(DATA)))
            for at in range(0, len(DATA), MIB):
                count = min(MIB, len(DATA) - at)
                part = {"type": SEND_FILE, "file": file, "offset": at, "count": count}
                await send({**part, "more_body": at + count < len(DATA)})

    monkeypatch.setattr(sending, "_is_in_memory", lambda *_: is_in_memory)
    monkeypatch.setattr(os, "sendfile", fail_once)
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
    monkeypatch.setattr(sending, "_is_in_memory", lambda *_: False)
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


def test_file_that_was_just_written_is_in_memory(path: Path) -> None:
    with FileIO(path) as file:
        assert sending._is_in_memory(file.fileno(), 0, len(DATA))
        assert sending._is_in_memory(file.fileno(), len(DATA) - 1, len(DATA))


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EOPNOTSUPP])
@pytest.mark.parametrize("look", [1, 2, 25])
def test_file_is_not_in_memory_where_a_look_fails(
    number: int, look: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def preadv(*_: Any) -> int:
        nonlocal looks
        looks += 1
        if looks == look:
            raise OSError(number, "not now")
        return 1

    monkeypatch.setattr(os, "preadv", preadv)
    with FileIO(path) as file:
        assert not sending._is_in_memory(file.fileno(), 0, len(DATA))


def test_nothing_is_in_memory_where_the_system_does_not_tell(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_NOWAIT", None)
    with FileIO(path) as file:
        assert not sending._is_in_memory(file.fileno(), 0, len(DATA))


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
            return sending._is_in_memory(file.fileno(), 0, len(DATA))

        os.fsync(file.fileno())
        # A look begins to read, and a fast disk has done so before the look is over, now and then.
        assert not all(is_in_memory() for _ in range(100))
        client.send(GET)
        assert client.answer().body == DATA
        assert sending._is_in_memory(file.fileno(), 0, len(DATA))
