"""Files that are sent over HTTP/1.1: turns, threads, what is in memory, a registry's blobs."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry import create_app
from storagedriver_registry.api.request import (
    SEND_FILE,
    SEND_PATH,
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
)
from storagedriver_registry.logs import Event
from storagedriver_registry.serving.http1 import sending

from registry.tests.client import sha256
from registry.tests.http1_server import GET, MIB, SECONDS, begin, running
from storagedriver_core import open_storage

BLOB = os.urandom(9 * MIB + 1)
DIGEST = sha256(BLOB)
DATA = BLOB[: 3 * MIB + 7]
PIECE = 4 * MIB
NONE: Mapping[str, str] = {}


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


# A registry's blobs.


class Asked:
    """A request for a blob, of a server that sends files; the client takes `limit` messages."""

    def __init__(self, limit: int) -> None:
        self.status = 0
        self.kinds: list[str] = []
        self.parts: list[tuple[int, int, bool]] = []
        self.body = b""
        self.files: set[FileIO] = set()
        self._limit = limit
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        if not self.kinds:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.kinds.append(message["type"])
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        if message["type"] == SEND_FILE:
            self.files.add(message["file"])
            offset, count = message["offset"], message["count"]
            self.parts.append((offset, count, message["more_body"]))
            self.body += os.pread(message["file"].fileno(), count, offset)
        if len(self.kinds) > self._limit:
            self._gone.set()
        for _ in range(3):
            await asyncio.sleep(0)


class Registry:
    """A registry on files that has a blob."""

    def __init__(self, folder: Path) -> None:
        self.storage = open_storage(
            {"storage": {"driver": "filesystem", "parameters": {"root_directory": str(folder)}}}
        )
        prometheus = {"addr": "127.0.0.1:0", "prometheus": {"enabled": True}}
        cache = {"blobdescriptor": "inmemory"}
        config = {"http": {"debug": prometheus}, "storage": {"cache": cache}}
        self.app = create_app(config, storage=self.storage)
        self.folder = folder

    async def store(self, data: bytes = BLOB) -> None:
        root = "/docker/registry/v2"
        place = f"{root}/blobs/sha256/{DIGEST[7:9]}/{DIGEST[7:]}/data"
        await self.storage.put_content(place, data)
        link = f"{root}/repositories/a/_layers/sha256/{DIGEST[7:]}/link"
        await self.storage.put_content(link, DIGEST.encode())

    async def ask(
        self, headers: Mapping[str, str] = NONE, *, limit: int = 100, method: str = "GET"
    ) -> Asked:
        asked = Asked(limit)
        scope = {
            **{"type": "http", "http_version": "1.1", "method": method, "query_string": b""},
            "path": f"/v2/a/blobs/{DIGEST}",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "extensions": {SEND_FILE: {}, SEND_PATH: {}},
        }
        await self.app(scope, asked.receive, asked.send)
        return asked

    def counted(self) -> float:
        """Give how many bytes of answers the metrics have."""
        meters = self.app.meters
        assert meters is not None
        (family,) = meters.response_bytes.collect()
        return sum(it.value for it in family.samples if it.name.endswith("_sum"))


def written(caplog: pytest.LogCaptureFixture) -> int:
    (record,) = [it for it in caplog.records if it.name.endswith(".access")]
    assert isinstance(record.msg, Event)
    return int(str(record.msg.fields["http.response.written"]))


@pytest.mark.parametrize(
    ("range_", "status", "parts"),
    [
        ("", 200, [(0, PIECE, True), (PIECE, PIECE, True), (2 * PIECE, MIB + 1, False)]),
        ("bytes=5-4194308", 206, [(5, PIECE, False)]),
        ("bytes=5-4194309", 206, [(5, PIECE, True), (5 + PIECE, 1, False)]),
        ("bytes=-10", 206, [(len(BLOB) - 10, 10, False)]),
    ],
)
def test_blob_is_sent_from_its_file(
    range_: str,
    status: int,
    parts: list[tuple[int, int, bool]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "storagedriver_registry.access")

    async def main() -> None:
        registry = Registry(tmp_path)
        async with registry.storage:
            await registry.store()
            asked = await registry.ask({"range": range_} if range_ else {})
            assert (asked.status, asked.parts) == (status, parts)
            assert set(asked.kinds[1:]) == {SEND_FILE}
            assert asked.body == b"".join(BLOB[at : at + size] for at, size, _ in parts)
            assert [file.closed for file in asked.files] == [True]
            assert written(caplog) == registry.counted() == len(asked.body)

    asyncio.run(main())


def test_file_is_closed_when_the_client_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "storagedriver_registry.access")

    async def main() -> None:
        registry = Registry(tmp_path)
        async with registry.storage:
            await registry.store()
            asked = await registry.ask(limit=1)
            assert asked.parts == [(0, PIECE, True)]
            assert [file.closed for file in asked.files] == [True]
            assert written(caplog) == registry.counted() == PIECE

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["HEAD", "small", "known"])
def test_answer_without_many_bytes_is_no_file(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        registry = Registry(tmp_path)
        async with registry.storage:
            await registry.store(BLOB[: 64 * 1024] if kind == "small" else BLOB)
            headers = {"if-none-match": f'"{DIGEST}"'} if kind == "known" else {}
            asked = await registry.ask(headers, method="HEAD" if kind == "HEAD" else "GET")
            assert asked.files == set()
            assert asked.status == (304 if kind == "known" else 200)
            assert len(asked.body) == (64 * 1024 if kind == "small" else 0)

    asyncio.run(main())


@pytest.mark.parametrize("data", [BLOB + b"more", BLOB[:-1]])
def test_damaged_blob_is_not_sent_by_its_file(data: bytes, tmp_path: Path) -> None:
    async def main() -> None:
        registry = Registry(tmp_path)
        async with registry.storage:
            await registry.store()
            await registry.ask(method="HEAD")
            await registry.store(data)
            before = len(list(Path("/proc/self/fd").iterdir()))
            asked = await registry.ask()
            assert SEND_FILE not in asked.kinds
            assert len(list(Path("/proc/self/fd").iterdir())) == before

    asyncio.run(main())
