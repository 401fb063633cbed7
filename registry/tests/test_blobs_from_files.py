"""A registry's blobs, sent from their files by a server that does so."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

import pytest
from storagedriver_registry import create_app
from storagedriver_registry.api.request import SEND_FILE, SEND_PATH, Message
from storagedriver_registry.logs import Event

from registry.tests.client import sha256
from registry.tests.http1_server import MIB
from storagedriver_core import open_storage

BLOB = os.urandom(9 * MIB + 1)
DIGEST = sha256(BLOB)
PIECE = 4 * MIB
NONE: Mapping[str, str] = {}


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
