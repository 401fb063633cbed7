"""Bodies that nobody reads: the connection goes on, or is said to end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import httpx
import pytest
from storagedriver_registry.api.codes import SIZE_INVALID
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Message, Request

from registry.tests.client import Repository, error_codes, sha256
from registry.tests.processes import ServerProcess

MIB = 1024 * 1024
REFUSED = "/v2/a/manifests/.no-tag"


@pytest.fixture
def one_connection(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client that has one connection, and no way to make another in secret."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    with httpx.Client(base_url=server.url, limits=limits) as http:
        yield http


@pytest.mark.parametrize("size", [1, 100_000, 5 * MIB])
@pytest.mark.parametrize("streamed", [True, False])
def test_connection_goes_on_after_a_refused_body(
    one_connection: httpx.Client, size: int, streamed: bool
) -> None:
    body = b"x" * size
    for method, path in (("PUT", REFUSED), ("POST", "/v2/a/blobs/uploads/"), ("PATCH", "/v2/")):
        content = iter([body]) if streamed else body
        response = one_connection.request(method, path, content=content)
        assert response.status_code in (202, 400, 405)
        assert "connection" not in response.headers
        assert one_connection.get("/v2/").status_code == 200


def test_chunk_out_of_order_leaves_the_connection(one_connection: httpx.Client) -> None:
    repository = Repository(one_connection, "unread/chunks")
    location = repository.begin()
    for _ in range(3):
        assert repository.patch(location, b"x" * 100_000, "5-100004").status_code == 416
    assert repository.finish(location, sha256(b"x"), b"x").status_code == 201


def test_manifest_that_is_too_large_is_refused_with_an_answer(
    one_connection: httpx.Client,
) -> None:
    for size in (4 * MIB + 1, 30 * MIB):
        response = one_connection.put("/v2/a/manifests/v1", content=b" " * size)
        assert (response.status_code, error_codes(response)) == (413, ["SIZE_INVALID"])
        assert response.headers.get("connection") == (None if size < 8 * MIB else "close")


@pytest.mark.parametrize("expecting", [True, False])
def test_body_that_does_not_come_is_not_waited_for(server: ServerProcess, expecting: bool) -> None:
    host, port = server.host.split(":")
    head = [
        f"PUT {REFUSED} HTTP/1.1",
        f"host: {server.host}",
        "content-length: 10",
        *(["expect: 100-continue"] if expecting else []),
    ]
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        answer = connection.makefile("rb").read().lower()  # until it is closed
    assert answer.startswith(b"http/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in answer


def skipped(version: str, *messages: Message, **headers: str) -> tuple[bool, int]:
    """Skip a body; tell whether the connection can go on, and how many messages were read."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.sleep(60)
        return left.pop(0)

    scope = {
        "method": "PUT",
        "http_version": version,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def main() -> bool:
        return await Request(scope, receive, "/", "").skip_body()

    return asyncio.run(main()), len(messages) - len(left)


def test_what_is_skipped() -> None:
    some = {"type": "http.request", "body": b"x", "more_body": True}
    last = {"type": "http.request", "body": b"x"}
    much = {"type": "http.request", "body": b"x" * 9 * MIB, "more_body": True}
    gone = {"type": "http.disconnect"}
    length = {"content-length": "2"}
    assert skipped("1.1", some, last, **length) == (True, 2)
    assert skipped("1.1", some, last, **{"transfer-encoding": "chunked"}) == (True, 2)
    assert skipped("1.1", last) == (True, 0)
    assert skipped("1.1", last, **{"content-length": "0"}) == (True, 0)
    assert skipped("2", some, last, **length) == (True, 0)
    assert skipped("1.1", last, expect="100-continue", **length) == (False, 0)
    assert skipped("1.1", some, gone, **length) == (False, 2)
    assert skipped("1.1", much, last, **length) == (False, 1)
    assert skipped("1.1", some, **length) == (False, 1)


def test_body_of_which_some_was_read_leaves_the_connection(one_connection: httpx.Client) -> None:
    body = b" " * (4 * MIB + 100_000)
    for content in (body, iter([body])):  # announced, and found out while it is read
        response = one_connection.put("/v2/a/manifests/v1", content=content)
        assert (response.status_code, error_codes(response)) == (413, ["SIZE_INVALID"])
        assert "connection" not in response.headers
        assert one_connection.get("/v2/").status_code == 200


def test_length_of_any_number_of_digits_is_a_refusal_at_most() -> None:
    scope = {"method": "PUT", "headers": [(b"content-length", b"9" * 5000)]}
    with pytest.raises(ApiError) as caught:
        _ = Request(scope, lambda: asyncio.sleep(0, {}), "/", "").content_length
    assert caught.value.code is SIZE_INVALID
