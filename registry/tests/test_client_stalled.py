"""Peers that stop reading, or sending, and keep the connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from storagedriver_registry.client import RegistryClient, StalledError, UploadSession
from storagedriver_registry.client import stalls as stalls_module
from storagedriver_registry.client.stalls import SendStalledError, watched_requests

from registry.tests.client import sha256, unique_name
from registry.tests.counting import CountingProxy, counting
from registry.tests.dist import Layout, dist, started
from registry.tests.hostile import (
    BLOB,
    DATA,
    DIGEST,
    PATIENCES,
    UPLOADS,
    FakeTime,
    HostileRegistry,
    cut,
    halting,
    in_turn,
    read,
    sent,
    with_hostile,
)
from registry.tests.processes import ServerProcess

pytestmark = pytest.mark.usefixtures("home")

MIB = 1 << 20
_PATIENCE = 120


class StalledServer:
    """Takes connections, reads the beginning of a request, answers with this, and does no more.

    Attributes:
        host: Where it listens.
    """

    def __init__(self, answer: bytes) -> None:
        self._listener = socket.socket()
        # It can be seen to be full after a few KiB.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._answer = answer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.recv(64)
                    connection.sendall(self._answer)
                    self._over.wait(_PATIENCE)


@contextlib.contextmanager
def stalled(answer: bytes = b"") -> Iterator[StalledServer]:
    server = StalledServer(answer)
    try:
        yield server
    finally:
        server.close()


async def until_closed(server: StalledServer) -> None:
    """Wait until no connection of this process leads to the server."""
    port = int(server.host.rpartition(":")[2])
    async with asyncio.timeout(_PATIENCE):
        while port in set(map(peer_port, range(1024))):  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.01)


def peer_port(descriptor: int) -> int:
    """Give the port of what a descriptor is connected to; 0 if it is nothing of that kind."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return 0
        with socket.socket(fileno=os.dup(descriptor)) as one:
            return int(one.getpeername()[1]) if one.family == socket.AF_INET else 0
    except OSError:
        return 0


async def given_up(attempt: Callable[[float], Awaitable[StalledError]]) -> StalledError:
    """Attempt with so many seconds, and with more if it took all of them to connect.

    That is no matter of the peer's, who is there, but of how slow this process was.
    """
    for seconds in PATIENCES:
        error = await attempt(seconds)
        assert error.seconds == seconds
        if "there is no connection" not in str(error):
            break
    return error


async def zeros() -> AsyncIterator[bytes]:
    for _ in range(64):
        yield bytes(MIB)


# Nothing is taken ------------------------------------------------------------------------------


def test_peer_that_takes_nothing_is_given_up() -> None:
    async def attempt(seconds: float) -> StalledError:
        with stalled() as server:
            async with RegistryClient(server.host, plain_http=True, timeout=seconds) as client:
                uploads = client.repository("a").blobs.uploads
                session = UploadSession(f"http://{server.host}/up?state=secret")
                with pytest.raises(StalledError) as caught:
                    await uploads.send(session, zeros, 64 * MIB)
                # What waits to be sent keeps nothing open.
                await until_closed(server)
            assert caught.value.host == server.host
            return caught.value

    error = asyncio.run(given_up(attempt))
    assert error.temporary
    assert str(error) == (
        f"{error.host}: PATCH /up: nothing of what is sent has been taken for {error.seconds:g} s"
    )


def test_cancelled_request_keeps_no_connection_that_takes_nothing() -> None:
    async def main() -> None:
        with stalled() as server:
            async with RegistryClient(server.host, plain_http=True) as client:
                uploads = client.repository("a").blobs.uploads
                begun = asyncio.Event()

                async def content() -> AsyncIterator[bytes]:
                    begun.set()
                    # More than the system takes.
                    yield bytes(64 * MIB)

                session = UploadSession(f"http://{server.host}/up")
                task = asyncio.ensure_future(uploads.send(session, content, 64 * MIB))
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until_closed(server)

    asyncio.run(main())


class FakeConnection:
    """A connection with so many bytes that wait, and a loop whose time goes by when it is told."""

    def __init__(self) -> None:
        self.waiting, self.output_size, self.now = 0, 0, 0.0
        self.failures: list[BaseException] = []
        self.transport = self.protocol = self
        self.next: Callable[[], None] | None = None

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def set_exception(self, error: BaseException) -> None:
        self.failures.append(error)

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.next = call

    def wait(self, seconds: float) -> None:
        self.now += seconds
        call, self.next = self.next, None
        if call is not None:
            call()


def test_any_byte_that_is_taken_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = FakeConnection()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: fake)
    stalls_module._Watch(fake, fake, 10.0)
    # Nothing waits: who gives the bytes is slow.
    for _ in range(5):
        fake.wait(9)
    fake.waiting = fake.output_size = 100
    for _ in range(5):
        fake.wait(9)
        fake.waiting -= 1
    for _ in range(5):
        fake.wait(9)
        # As many bytes are taken as come.
        fake.output_size += 1
    assert fake.failures == []
    for _ in range(3):
        fake.wait(9)
    [failure] = fake.failures
    assert isinstance(failure, SendStalledError)


def test_requests_are_those_of_aiohttp() -> None:
    assert issubclass(watched_requests(1.0), aiohttp.ClientRequest)


def test_upload_goes_on_after_a_stall() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        stored, over = bytearray(), asyncio.Event()
        headers = {"Location": f"{UPLOADS}1"}

        async def state(request: web.BaseRequest) -> web.StreamResponse:
            where = {**headers, "Range": f"0-{len(stored) - 1}"}
            return web.Response(status=204, headers=where)

        async def stalling(request: web.BaseRequest) -> web.StreamResponse:
            stored.extend(await request.content.readexactly(1_300_000))
            await over.wait()
            return web.Response(status=202, headers=headers)

        async def taken(request: web.BaseRequest) -> web.StreamResponse:
            assert request.headers["Content-Range"] == "1300000-2999999"
            async for chunk in request.content.iter_any():
                stored.extend(chunk)
            return web.Response(status=202, headers=headers)

        registry.on("POST", UPLOADS, sent(b"", 202, **headers))
        registry.on("GET", f"{UPLOADS}1", state)
        registry.on("PATCH", f"{UPLOADS}1", in_turn(stalling, taken))
        registry.on("PUT", f"{UPLOADS}1", sent(b"", 201))
        try:
            await client.repository("a").blobs.upload(DIGEST, DATA)
        finally:
            over.set()
        assert sha256(bytes(stored)) == DIGEST

    with_hostile(test, timeout=3.0)


# Nothing comes ---------------------------------------------------------------------------------


def test_reading_goes_on_after_a_stall() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        over = asyncio.Event()

        registry.on("GET", BLOB, in_turn(halting(DATA, 1000, over), cut(DATA, len(DATA))))
        try:
            assert await read(client) == DATA
        finally:
            over.set()
        assert [headers.get("Range") for headers in registry.asked("GET")][:2] == [
            None,
            "bytes=1000-2999999",
        ]

    with_hostile(test, timeout=3.0)


OK = b"HTTP/1.1 200 OK\r\n"
SMALL, LARGE = (OK + b"Content-Length: %d\r\n\r\n" % size for size in (len(DATA), 64 * MIB))


@pytest.mark.parametrize(
    "answer", [b"", OK, SMALL, SMALL + DATA[:1000], LARGE, LARGE + DATA[:1000]]
)
def test_peer_that_sends_nothing_is_given_up(answer: bytes) -> None:
    async def attempt(seconds: float) -> StalledError:
        with stalled(answer) as server:
            retries = FakeTime().retries(attempts=1)
            async with RegistryClient(
                server.host, plain_http=True, timeout=seconds, retries=retries
            ) as client:
                with pytest.raises(StalledError) as caught:
                    await read(client)
            assert caught.value.host == server.host
            return caught.value

    error = asyncio.run(given_up(attempt))
    assert str(error) == f"{error.host}: GET {BLOB}: nothing has come for {error.seconds:g} s"


def test_connection_that_does_not_come_about_is_given_up() -> None:
    async def main() -> None:
        with stalled() as server:
            retries = FakeTime().retries(attempts=1)
            # TLS is not spoken there, and nothing else either.
            async with RegistryClient(
                server.host, plain_http=False, timeout=0.3, retries=retries
            ) as client:
                with pytest.raises(StalledError, match=r"there is no connection after 0\.3 s"):
                    await client.ping()

    asyncio.run(main())


# From the shell --------------------------------------------------------------------------------


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[CountingProxy]:
    with counting(server.host) as proxy:
        yield proxy


def test_command_tells_what_has_stalled() -> None:
    with stalled() as server:
        for seconds in PATIENCES:
            options = ("--plain-http", server.host, "--timeout", f"{seconds:g}")
            said = dist("inspect", f"{server.host}/a:v1", *options, code=6)
            # As above.
            if "there is no connection" not in said:
                break
        path = "/v2/a/manifests/v1"
        assert said == f"dist: {server.host}: GET {path}: nothing has come for {seconds:g} s\n"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "x"])
def test_timeout_that_is_none_is_wrong_usage(seconds: str) -> None:
    assert "--timeout" in dist("tags", "127.0.0.1:1/a", f"--timeout={seconds}", code=2)
    with pytest.raises(ValueError, match="more than 0"):
        RegistryClient("r.example", timeout=-1)


def test_interrupt_is_heeded_while_the_registry_stalls(
    proxy: CountingProxy, tmp_path: Path, home: Path
) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.name(layout.image(9 * MIB), "v1")
    proxy.hold_after(5 * MIB)
    process = started("push", image, f"{proxy.host}/{unique_name()}:v1", home=home)
    proxy.wait_until_held()
    process.send_signal(signal.SIGINT)
    # Not even the end of the upload is heard: that is not waited for as long as for an answer.
    _, errors = process.communicate(timeout=45)
    assert process.returncode == 130, errors
    assert errors.endswith(b"dist: interrupted\n")
