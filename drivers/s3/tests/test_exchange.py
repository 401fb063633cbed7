"""Small requests past aiohttp's machinery: what is sent, and what becomes of their connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError
from storagedriver_s3._config import S3Config
from storagedriver_s3._driver import S3Driver
from storagedriver_s3._errors import translating
from storagedriver_s3._exchange import MOST_BYTES, Origin
from storagedriver_s3._route import Request
from storagedriver_s3._session import OneAttemptSession

from storagedriver_core import OperationTimeoutError, Storage, UnavailableError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Answers one request after the other by what it is given, and not at all after the last.

    Attributes:
        requests: What came: the number of the connection, the head, and the body.
        url: Where it is.
        ended: Set when a connection has been closed by the other side.
    """

    url: str

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._writers: list[asyncio.StreamWriter] = []
        self.requests: list[tuple[int, str, bytes]] = []
        self.came = asyncio.Event()
        self.ended = asyncio.Event()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1")
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self._writers)
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = head.partition("Content-Length: ")[2].partition("\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                self.requests.append((number, head, body))
                self.came.set()
                if self._answers:
                    writer.write(self._answers.pop(0))
        self.ended.set()
        writer.close()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run what would wait for ever if something is wrong."""
    asyncio.run(asyncio.wait_for(scenario, 30))


@contextlib.asynccontextmanager
async def origin_of(server: Server, **timeouts: float) -> AsyncIterator[Origin]:
    timeout = aiohttp.ClientTimeout(total=None, **timeouts)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Origin(session, f"{server.url}/")


def test_request_is_what_it_was_given_and_its_host() -> None:
    async def scenario() -> None:
        async with Server(OK, OK) as server, origin_of(server) as origin:
            for number, body in enumerate((b"", bytes(MOST_BYTES))):
                url = f"{server.url}/b/%C3%BC%2F?a=%20"
                headers = {"x-amz-meta-a": "ü", "Content-Length": str(len(body))}
                answer = await origin.exchange("PUT", url, headers, body)
                assert (answer.status, await answer.read(), str(answer.url)) == (200, b"", url)
                assert server.requests[number] == (
                    0,  # by the same connection
                    "PUT /b/%C3%BC%2F?a=%20 HTTP/1.1\r\n"
                    f"Host: {server.url.removeprefix('http://')}\r\n"
                    f"x-amz-meta-a: ü\r\nContent-Length: {len(body)}\r\n\r\n",
                    body,
                )

    run(scenario())


def test_redirect_is_not_followed_whatever_is_sent() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"

    async def scenario() -> None:
        async with OneAttemptSession(timeout=60) as session, Server(moved, moved) as server:
            for size in (MOST_BYTES, MOST_BYTES + 1):
                headers = {"Content-Length": str(size)}
                request = Request("PUT", f"{server.url}/", headers, bytes(size), "")
                assert (await session.answer_to(request)).status == 307
            assert len(server.requests) == 2

    run(scenario())


def test_connection_of_a_request_that_is_cancelled_is_closed() -> None:
    async def scenario() -> None:
        async with Server() as server, origin_of(server) as origin:
            asking = asyncio.ensure_future(origin.exchange("GET", f"{server.url}/", {}, b""))
            await server.came.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await server.ended.wait()

    run(scenario())


def test_header_with_an_end_of_line_is_not_sent() -> None:
    async def scenario() -> None:
        async with Server() as server, origin_of(server) as origin:
            with pytest.raises(ValueError, match="header injection"):
                await origin.exchange("GET", f"{server.url}/", {"a": "b\r\nc: d"}, b"")
            await server.ended.wait()
            assert not server.requests

    run(scenario())


def test_what_is_no_answer_is_an_error_of_the_store() -> None:
    async def scenario() -> None:
        async with Server(b"what?\r\n\r\n") as server, origin_of(server) as origin:
            with pytest.raises(UnavailableError), translating(changes=False):
                await origin.exchange("GET", f"{server.url}/", {}, b"")
            await server.ended.wait()

    run(scenario())


def test_answer_that_does_not_come_is_waited_for_as_long_as_was_said() -> None:
    async def scenario() -> None:
        async with Server() as server, origin_of(server, sock_read=0.01) as origin:
            with pytest.raises(OperationTimeoutError) as failure, translating(changes=True):
                await origin.exchange("PUT", f"{server.url}/", {"Content-Length": "1"}, b"x")
            assert failure.value.outcome == "unknown"
            await server.ended.wait()

    run(scenario())


def test_connection_that_is_not_made_in_time_has_changed_nothing() -> None:
    async def scenario() -> None:
        async with Server() as server, origin_of(server) as origin:
            connector: Any = origin._session.connector

            async def never(*_: object) -> None:
                raise TimeoutError

            connector._create_connection = never
            with pytest.raises(UnavailableError) as failure, translating(changes=True):
                await origin.exchange("PUT", f"{server.url}/", {}, b"")
            assert failure.value.outcome != "unknown"

    run(scenario())


def test_delete_says_that_it_has_no_body() -> None:
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    async def scenario() -> None:
        async with Server(missing, OK) as server:
            given = {"bucket": "bucket", "endpoint": server.url, "region": "r"}
            driver = S3Driver(
                S3Config.model_validate({**given, "access_key": "a", "secret_key": "s"})
            )
            async with Storage(driver):
                calls = driver._bucket.connection._calls
                with pytest.raises(ClientError):
                    await calls.call("get_object", {"Key": "a"})
                await calls.call("delete_object", {"Key": "a"})
            _, head, _ = server.requests[1]
            assert head.startswith("DELETE /bucket/a HTTP/1.1\r\n")
            assert "\r\nContent-Length: 0\r\n" in head
            assert "content-length" not in head  # among what is signed: some proxies drop it

    run(scenario())


def test_session_that_is_opened_again_asks_by_new_connections() -> None:
    async def scenario() -> None:
        session = OneAttemptSession(timeout=60)
        async with Server(OK, OK) as server:
            for _ in range(2):
                async with session:
                    request = Request("GET", f"{server.url}/", {}, b"", "")
                    assert (await session.answer_to(request)).status == 200
            assert [number for number, *_ in server.requests] == [0, 1]

    run(scenario())
