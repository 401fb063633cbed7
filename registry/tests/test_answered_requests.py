"""What is left of a request once it has its answer: nothing that waits for Python's collector.

A server keeps a connection whose client still sends until nobody can read from it. Were that left
to the collector, which a server at rest does not run, the client would be stuck meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from storagedriver_registry import create_app
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Message, Request

from registry.tests.client import OCI_MANIFEST, sha256
from storagedriver_core import StorageDriverError

MIB = 2**20
ABSENT = sha256(b"absent")
EMPTY = b'{"schemaVersion":2,"mediaType":"%b","manifests":[]}'
INDEX = "application/vnd.oci.image.index.v1+json"


class Client:
    """Asks an application as a server would, and keeps nothing of what it has asked with."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        wanted: int,
        announced: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[str, list[weakref.ref[Any]]]:
        """Give where the answer leads, and what the application has read and written with.

        Args:
            method: The method.
            target: Path and query.
            body: What is sent; then there is a message with nothing, and the rest does not come.
            wanted: Status of the answer.
            announced: Length of the body; by default that of what is sent.
            headers: More headers.
        """
        messages = [{"type": "http.request", "body": b"", "more_body": False}]
        if announced is not None:
            messages = []
        if body:
            messages.append({"type": "http.request", "body": body, "more_body": True})
        answer: list[Message] = []

        async def receive() -> Message:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        async def send(message: Message) -> None:
            answer.append(message)

        length = len(body) if announced is None else announced
        path, _, query = target.partition("?")
        scope = {
            **{"type": "http", "http_version": "1.1", "method": method, "path": path},
            "query_string": query.encode(),
            "headers": [
                (b"content-length", b"%d" % length),
                *((name.encode(), value.encode()) for name, value in (headers or {}).items()),
            ],
        }
        await self._app(scope, receive, send)
        assert answer[0]["status"] == wanted, answer
        location = dict(answer[0]["headers"]).get(b"location", b"").decode()
        return location, [weakref.ref(receive), weakref.ref(send)]

    async def push(self, data: bytes, digest: str = "", wanted: int = 201) -> None:
        place, _ = await self.ask("POST", "/v2/a/blobs/uploads/", wanted=202)
        put = f"{place}{'&' if '?' in place else '?'}digest={digest or sha256(data)}"
        await self.ask("PUT", put, data, wanted=wanted)


@asynccontextmanager
async def application(directory: Path) -> AsyncIterator[Client]:
    """Give a client of a registry on files, which has a blob and an index, tagged `v1`."""
    config = {
        "storage": {"filesystem": {"rootdirectory": str(directory)}, "delete": {"enabled": True}},
        "http": {"relativeurls": True},
    }
    app = create_app(config)
    async with app.lifespan():
        client = Client(app)
        await client.push(b"a blob")
        await client.ask(
            "PUT", "/v2/a/manifests/v1", index(), wanted=201, headers={"content-type": INDEX}
        )
        yield client


def index() -> bytes:
    return EMPTY % INDEX.encode()


Ask = Callable[[Client], Awaitable[object]]

REQUESTS: dict[str, Ask] = {
    "base": lambda client: client.ask("GET", "/v2/", wanted=200),
    "manifest": lambda client: client.ask("GET", "/v2/a/manifests/v1", wanted=200),
    "blob": lambda client: client.ask("GET", f"/v2/a/blobs/{sha256(b'a blob')}", wanted=200),
    "range": lambda client: client.ask(
        "GET", f"/v2/a/blobs/{sha256(b'a blob')}", wanted=206, headers={"range": "bytes=1-2"}
    ),
    "tags": lambda client: client.ask("GET", "/v2/a/tags/list", wanted=200),
    "push": lambda client: client.push(b"another"),
    "manifest push": lambda client: client.ask(
        "PUT", "/v2/a/manifests/v1", index(), wanted=201, headers={"content-type": INDEX}
    ),
    "no such path": lambda client: client.ask("GET", "/v2/a", wanted=404),
    "no such manifest": lambda client: client.ask("GET", "/v2/a/manifests/v2", wanted=404),
    "no such blob": lambda client: client.ask("HEAD", f"/v2/a/blobs/{ABSENT}", wanted=404),
    "other method": lambda client: client.ask("PATCH", "/v2/", b"x", wanted=405),
    "other digest": lambda client: client.push(b"a blob", ABSENT, wanted=400),
    "no manifest": lambda client: client.ask(
        "PUT", "/v2/a/manifests/v1", b"{", wanted=400, headers={"content-type": OCI_MANIFEST}
    ),
    "large manifest": lambda client: client.ask(
        "PUT", "/v2/a/manifests/v1", b" " * (4 * MIB + 1), wanted=413
    ),
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Let nothing be collected but by who asks for it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.usefixtures("no_collector")
def test_nothing_is_left_to_the_collector(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "storagedriver_registry.access")  # as a server has it

    async def main() -> Counter[str]:
        async with application(tmp_path) as client:
            for _ in range(3):  # what is loaded and cached at first is none of it
                await REQUESTS[name](client)
            caplog.clear()
            gc.collect()
            for _ in range(20):
                await REQUESTS[name](client)
            assert len(caplog.records) >= 20
            caplog.clear()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                gc.collect()
                return Counter(type(left).__name__ for left in gc.garbage)
            finally:
                gc.set_debug(0)
                gc.garbage.clear()

    left = asyncio.run(main())
    # A type of `ctypes`, which lives until it is collected, is no object for each request.
    assert not {kind: number for kind, number in left.items() if number >= 20}, left


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.usefixtures("no_collector")
def test_whoever_keeps_a_request_does_not_keep_its_connection(
    logged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if logged:
        caplog.set_level(logging.INFO, "storagedriver_registry.access")
    kept: list[BaseException] = []
    read = Request.body

    async def keep(request: Request, limit: int) -> bytes:
        try:
            return await read(request, limit)
        except (ApiError, StorageDriverError) as error:
            kept.append(error)  # and by its traceback all that the request has
            raise

    monkeypatch.setattr(Request, "body", keep)

    async def main() -> None:
        async with application(tmp_path) as client:
            body = b" " * 9 * MIB
            _, held = await client.ask(
                "PUT", "/v2/a/manifests/v2", body, wanted=413, announced=30 * MIB
            )
            assert [reference() for reference in held] == [None, None]
            assert kept.pop().__traceback__ is not None

    asyncio.run(main())
