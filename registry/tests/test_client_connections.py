"""What goes over a connection as it is, and what becomes of a request that finds none."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from storagedriver_registry.client import (
    ConnectionFailedError,
    Credentials,
    CredentialsError,
    RegistryClient,
    RegistryError,
    TLSOptions,
    UploadSession,
)
from storagedriver_registry.client.connections import Connections
from yarl import URL

from registry.tests.client import sha256
from registry.tests.hostile import (
    BLOB,
    DATA,
    FakeTime,
    HostileRegistry,
    cut,
    failing,
    hostile,
    in_turn,
    read,
    sent,
    tls_of,
    with_hostile,
)
from registry.tests.processes import free_port
from registry.tests.serving import Certificates

# No loopback by its number, and nobody is there.
ELSEWHERE = 'Bearer realm="http://0.0.0.0:1/token"'


@pytest.mark.parametrize(
    ("is_plain", "error"), [(True, ConnectionFailedError), (False, CredentialsError)]
)
def test_secret_goes_without_encryption_only_where_the_registry_itself_has_none(
    is_plain: bool, error: type[RegistryError], tmp_path: Path
) -> None:
    made = Certificates(tmp_path)

    async def main() -> None:
        async with hostile(None if is_plain else tls_of(made)) as registry:
            registry.on("GET", "/v2/*", failing(401, WWW_Authenticate=ELSEWHERE))
            async with RegistryClient(
                registry.host,
                credentials=Credentials("user", "password"),
                tls=TLSOptions((made.authority,)),
                retries=FakeTime().retries(),
            ) as client:
                with pytest.raises(error):
                    await client.repository("a").manifests.get("v1")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "url", "named"),
    [
        ("docker.io", "https://registry-1.docker.io/v2/", "docker.io"),
        ("r.example:443", "https://r.example/v2/", "r.example:443"),
        ("r.example:5000", "https://store.example/x", "store.example"),
        # A part of a name is another name.
        ("r.example", "https://example/x", "example"),
    ],
)
def test_registry_has_its_name_and_nobody_else_has_it(host: str, url: str, named: str) -> None:
    connections = Connections(host, plain_http=False, tls=TLSOptions(), most=1)
    assert connections.host_of(URL(url)) == named


def test_error_names_the_store_that_a_redirect_led_to() -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        async with hostile() as store:
            registry.on("GET", BLOB, sent(b"", 307, Location=f"{store.url}/x"))
            for answer in (failing(404), sent(b"", 204), cut(DATA, 10)):
                store.on("GET", "/x", answer)
                with pytest.raises(RegistryError) as caught:
                    await read(client)
                assert caught.value.host == "127.0.0.1" != client.host

    with_hostile(test)


@pytest.mark.parametrize("status", [404, 307])
def test_cancelled_reading_of_an_error_keeps_no_connection(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        begun, over = asyncio.Event(), asyncio.Event()
        readany = aiohttp.StreamReader.readany

        async def noticed(self: aiohttp.StreamReader) -> bytes:
            begun.set()
            return await readany(self)

        async def halts(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(status=status, headers={"Location": BLOB})
            response.content_length = 100
            await response.prepare(request)
            await over.wait()
            return response

        monkeypatch.setattr(aiohttp.StreamReader, "readany", noticed)
        registry.on("GET", BLOB, in_turn(halts, sent(DATA)))
        task = asyncio.ensure_future(read(client))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        try:
            # It is the only one.
            async with asyncio.timeout(60):
                assert await read(client) == DATA
        finally:
            over.set()

    with_hostile(test, connections=1)


def test_content_that_cannot_be_read_is_no_failure_of_the_connection() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise OSError("the disk is broken")

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("PATCH", "/up", sent(b"", 202))
        uploads = client.repository("a").blobs.uploads
        with pytest.raises(OSError, match="the disk is broken"):
            await uploads.send(UploadSession(f"{registry.url}/up"), broken, 6)
        assert time.slept == []

    with_hostile(test)


def test_what_may_not_be_repeated_is_where_there_was_no_connection() -> None:
    async def main() -> None:
        time, host = FakeTime(), f"127.0.0.1:{free_port()}"
        async with RegistryClient(host, plain_http=True, retries=time.retries()) as client:
            with pytest.raises(ConnectionFailedError):
                await client.repository("a").blobs.uploads.send(
                    UploadSession(f"http://{host}/up"), b"abc", 3
                )
        assert time.slept == [0.25, 0.5, 1, 2]

    asyncio.run(main())


def test_what_is_said_to_be_compressed_stays_as_it_is() -> None:
    data = gzip.compress(b"layer")

    async def test(registry: HostileRegistry, client: RegistryClient, time: FakeTime) -> None:
        registry.on("GET", "/v2/a/blobs/*", sent(data, Content_Encoding="gzip"))
        async with await client.repository("a").blobs.open(sha256(data)) as reader:
            assert await reader.read() == data

    with_hostile(test)
