"""The fault proxy: what it passes on, what it breaks, and what it tells."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from storagedriver_testsuite.cases._plain_http import fetch
from storagedriver_testsuite.proxy import Fault, Proxy
from storagedriver_testsuite.proxy.__main__ import listening_socket
from storagedriver_testsuite.proxy._http import (
    CHUNKED,
    Head,
    end_of,
    framed,
    pieces,
    read_head,
    request_framing,
)

BODY = bytes(range(256)) * 4000


class Upstream:
    """A server that answers with what it was sent, or with `BODY`.

    Attributes:
        seen: Method, target and body of each whole request.
        hosts: The Host header of each.
        url: Where it listens.
    """

    url = ""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.hosts: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await read_head(reader)) is not None:
                if head.get("expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = b"".join([part async for part in pieces(reader, request_framing(head))])
                self.seen.append((head.method, head.target, body))
                self.hosts.append(head.get("host"))
                await self._answer(head, body, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, head: Head, body: bytes, writer: asyncio.StreamWriter) -> None:
        kind, data = "application/octet-stream", BODY if head.method == "GET" else body
        if head.target.startswith("/session"):
            kind, data = "application/json", json.dumps({"at": f"{self.url}/next"}).encode()
        headers = [("Content-Type", kind), ("Location", f"{self.url}/next")]
        status = "HTTP/1.1 200 OK"
        if head.target.startswith("/chunked"):
            headers.append(("Transfer-Encoding", "chunked"))
            writer.write(Head(status, headers).encode())
            for start in range(0, len(data), 100_000):
                writer.writelines(framed(data[start : start + 100_000], CHUNKED))
            writer.writelines(end_of(CHUNKED))
        else:
            wanted = head.get("range")
            if wanted:
                first, last = map(int, wanted.removeprefix("bytes=").split("-"))
                headers.append(("Content-Range", f"bytes {first}-{last}/{len(data)}"))
                data, status = data[first : last + 1], "HTTP/1.1 206 Partial Content"
            headers.append(("Content-Length", str(len(data))))
            writer.write(Head(status, headers).encode())
            if head.method != "HEAD":
                writer.write(data)
        await writer.drain()


@asynccontextmanager
async def in_between() -> AsyncIterator[tuple[Upstream, Proxy]]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 20)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with Proxy(upstream.url) as proxy:
            yield upstream, proxy
    finally:
        server.close()


def on(work: Callable[[Upstream, Proxy], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), in_between() as (upstream, proxy):
            await work(upstream, proxy)

    asyncio.run(run())


@contextmanager
def broken() -> Iterator[None]:
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        yield


def test_passes_everything_on_and_counts() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        reply = await fetch("GET", f"{proxy.url}/a%20b?x=1&signature=secret")
        assert (reply.status, reply.body) == (200, BODY)
        assert (await fetch("GET", f"{proxy.url}/chunked")).body == BODY
        assert (await fetch("PUT", f"{proxy.url}/p", body=BODY)).body == BODY
        assert (await fetch("HEAD", f"{proxy.url}/h")).body == b""
        expecting = {"Expect": "100-continue"}
        await fetch("PUT", f"{proxy.url}/e", body=b"abc", headers=expecting)
        assert upstream.seen[0] == ("GET", "/a%20b?x=1&signature=secret", b"")
        assert upstream.seen[2:] == [
            ("PUT", "/p", BODY),
            ("HEAD", "/h", b""),
            ("PUT", "/e", b"abc"),
        ]
        assert set(upstream.hosts) == {proxy.url.removeprefix("http://")}
        log = await proxy.log()
        assert await proxy.counts() == {"GET": 2, "PUT": 2, "HEAD": 1}
        assert "secret" not in repr(log)
        assert [(entry.sent, entry.received) for entry in log] == [
            (0, len(BODY)),
            (0, len(BODY)),
            (len(BODY), len(BODY)),
            (0, 0),
            (3, 3),
        ]
        await proxy.forget()
        assert await proxy.log() == []

    on(work)


def test_connection_is_kept_and_a_chunked_body_passes() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        def talk() -> None:
            connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
            for _ in range(3):
                connection.request("PUT", "/c", iter([b"abc", b"def"]), encode_chunked=True)
                assert connection.getresponse().read() == b"abcdef"
            connection.close()

        await asyncio.to_thread(talk)
        assert [body for _, _, body in upstream.seen] == [b"abcdef"] * 3

    on(work)


def test_url_of_the_server_is_replaced_in_answers() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        reply = await fetch("GET", f"{proxy.url}/session")
        assert json.loads(reply.body) == {"at": f"{proxy.url}/next"}
        assert reply.headers["location"] == f"{proxy.url}/next"

    on(work)


@pytest.mark.parametrize("action", ["reset_before", "reset_during", "reset_after"])
def test_reset_comes_when_it_was_ordered(action: str) -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        await proxy.add(Fault(action=action, method="PUT", target="^PUT /x", nth=2))  # type: ignore[arg-type]
        for number in range(4):
            put = fetch("PUT", f"{proxy.url}/x", body=BODY)
            if number == 1:
                with broken():
                    await put
            else:
                assert (await put).status == 200
        # The server had the whole request only where the reset came after it.
        assert len(upstream.seen) == (4 if action == "reset_after" else 3)
        assert [entry.fault for entry in await proxy.log()] == ["", action, "", ""]

    on(work)


def test_answers_of_its_own_come_in_the_servers_place_or_after_it() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        busy = Fault(
            action="answer", status=503, headers={"Retry-After": "1"}, body=b"busy", times=None
        )
        async with proxy.faults(busy):
            for _ in range(2):
                reply = await fetch("PUT", f"{proxy.url}/x", body=BODY)
                assert (reply.status, reply.headers["retry-after"]) == (503, "1")
                assert reply.body == b"busy"
            reply = await fetch(
                "PUT", f"{proxy.url}/x", body=b"x", headers={"Expect": "100-continue"}
            )
            assert reply.status == 503
        assert upstream.seen == []
        async with proxy.faults(Fault(action="answer", status=200, body=b"lie", acts=True)):
            assert (await fetch("PUT", f"{proxy.url}/x", body=b"x")).body == b"lie"
        assert len(upstream.seen) == 1
        assert (await fetch("PUT", f"{proxy.url}/x", body=b"x")).body == b"x"

    on(work)


def test_bodies_are_cut_damaged_and_slowed() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        for target in ("/x", "/chunked"):
            async with proxy.faults(Fault(action="truncate", size=1000)):
                with broken():
                    await fetch("GET", f"{proxy.url}{target}")
        async with proxy.faults(Fault(action="shorten", size=1000)):
            assert (await fetch("GET", f"{proxy.url}/x")).body == BODY[:1000]
        async with proxy.faults(Fault(action="corrupt")):
            got = (await fetch("GET", f"{proxy.url}/x")).body
            assert sum(one != other for one, other in zip(got, BODY, strict=True)) == 1
        async with proxy.faults(Fault(action="corrupt_request")):
            await fetch("PUT", f"{proxy.url}/x", body=BODY)
            sent = upstream.seen[-1][2]
            assert sum(one != other for one, other in zip(sent, BODY, strict=True)) == 1
        loop = asyncio.get_running_loop()
        for slow in (
            Fault(action="slow", seconds=0.1),
            Fault(action="drip", size=len(BODY) // 4, seconds=0.03),
        ):
            async with proxy.faults(slow):
                started = loop.time()
                assert (await fetch("GET", f"{proxy.url}/x")).body == BODY
                assert loop.time() - started >= 0.09

    on(work)


def test_range_is_ignored_once_the_whole_has_passed() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        async with proxy.faults(Fault(action="ignore_range", times=None)):
            part = {"Range": "bytes=10-19"}
            assert (await fetch("GET", f"{proxy.url}/x", headers=part)).status == 206
            await fetch("GET", f"{proxy.url}/x?whole")
            reply = await fetch("GET", f"{proxy.url}/x", headers=part)
            assert (reply.status, reply.body) == (200, BODY)
            assert "content-range" not in reply.headers

    on(work)


def test_hanging_lasts_until_the_rules_are_cleared() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        await proxy.add(Fault(action="hang"))
        hanging = asyncio.ensure_future(fetch("GET", f"{proxy.url}/x"))
        await asyncio.wait({hanging}, timeout=0.2)
        assert not hanging.done()
        await proxy.clear()
        with broken():
            await hanging

    on(work)


def test_connections_are_refused_and_the_port_stays() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        async with proxy.refusing():
            for _ in range(2):
                with pytest.raises(ConnectionRefusedError):
                    await fetch("GET", f"{proxy.url}/x")
        assert (await fetch("GET", f"{proxy.url}/x")).status == 200

    on(work)


def test_what_the_client_does_not_take_is_not_fetched() -> None:
    async def work(upstream: Upstream, proxy: Proxy) -> None:
        host, _, port = proxy.url.removeprefix("http://").partition(":")

        def take_little() -> None:
            with socket.create_connection((host, int(port))) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
                client.sendall(b"GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(1000)

        await asyncio.to_thread(take_little)
        [entry] = await proxy.log()
        assert 0 < entry.received < len(BODY)

    on(work)


def test_small_writes_to_a_client_are_not_held_back() -> None:
    delays: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        delays.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def use() -> None:
        async with await asyncio.start_server(serve, sock=listening_socket(0)) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()

    asyncio.run(use())
    assert all(delays) and len(delays) == 1
