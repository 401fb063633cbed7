"""What the application does while bytes move, seen from the server below it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry import create_app
from storagedriver_registry.api.request import Message
from storagedriver_registry.storage import uploads
from storagedriver_registry.storage.errors import UploadBusyError
from storagedriver_registry.storage.stores import make_stores

from registry.tests.application import Application, run
from registry.tests.client import sha256
from storagedriver_core import ConflictError, UnavailableError, open_storage

DATA = bytes(range(256)) * 40_000
ROOT = "/docker/registry/v2"


def scope(method: str, path: str, **headers: str) -> dict[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}


class Connection:
    """One request as a server makes it; the client takes `limit` chunks of the body."""

    def __init__(self, limit: int) -> None:
        self.sent: list[Message] = []
        self._limit = limit
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        if not self.sent:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if len(self.sent) > self._limit:
            self._gone.set()
        # The others get their turn, as they do while the network takes its time.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def test_stream_ends_soon_after_the_client_went_away() -> None:
    async def pull(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        application.driver.calls.clear()
        connection = Connection(limit=3)
        path = f"/v2/a/blobs/{sha256(DATA)}"
        await application.app(scope("GET", path), connection.receive, connection.send)
        reads = [operation for operation, _ in application.driver.calls if operation == "read"]
        assert 0 < len(reads) < 6 < len(DATA) // 2**20

    run(pull)


def test_storage_that_fails_in_the_middle_cuts_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def pull(application: Application) -> None:
        await application.push_blob("a", DATA, sha256(DATA))
        connection = Connection(limit=1000)
        application.driver.fail("read", UnavailableError())
        path = f"/v2/a/blobs/{sha256(DATA)}"
        with pytest.raises(UnavailableError):
            await application.app(scope("GET", path), connection.receive, connection.send)
        assert [message["type"] for message in connection.sent] == ["http.response.start"]

    run(pull)
    assert "an answer was cut off" in caplog.text


def test_file_is_sent_by_the_server_where_both_can(tmp_path: Path) -> None:
    async def pull(connection: Connection, **headers: str) -> None:
        await app(
            {
                **scope("GET", f"/v2/a/blobs/{digest}", **headers),
                "extensions": {"http.response.pathsend": {}},
            },
            connection.receive,
            connection.send,
        )

    async def main() -> None:
        async with storage:
            await storage.put_content(f"{ROOT}/blobs/sha256/{digest[7:9]}/{digest[7:]}/data", DATA)
            await storage.put_content(
                f"{ROOT}/repositories/a/_layers/sha256/{digest[7:]}/link", b""
            )
            whole, part = Connection(limit=1000), Connection(limit=1000)
            await pull(whole)
            await pull(part, range="bytes=0-9")
        assert whole.sent[1]["type"] == "http.response.pathsend"
        assert Path(whole.sent[1]["path"]).read_bytes() == DATA
        assert part.sent[1]["body"] == DATA[:10]

    digest = sha256(DATA)
    storage = open_storage(
        {"storage": {"driver": "filesystem", "parameters": {"root_directory": str(tmp_path)}}}
    )
    app = create_app({}, storage=storage)
    asyncio.run(main())


def test_session_that_is_held_for_long_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_SECONDS", 0.01)

    async def hold_twice(application: Application) -> None:
        store = make_stores(application.storage).uploads
        session = await store.start("a")
        async with store.hold("a", session.id, session.ticket):
            with pytest.raises(UploadBusyError):
                async with store.hold("a", session.id, session.ticket):
                    raise AssertionError("two hold it")
        async with store.hold("a", session.id, session.ticket):
            pass

    run(hold_twice)


def test_session_that_another_process_holds_is_busy() -> None:
    """The store says so: its writers are fenced."""

    async def hold(application: Application) -> None:
        http = application.http
        begun = await http.post("/v2/a/blobs/uploads/")
        patched = await http.patch(begun.headers["location"], content=b"begun")
        application.driver.fail("upload_state", ConflictError())
        response = await http.patch(patched.headers["location"], content=b"more")
        assert response.status_code == 409
        assert response.json()["errors"][0]["code"] == "BLOB_UPLOAD_INVALID"

    run(hold)
