"""Large bodies, which are read past the HTTP client."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web
from storagedriver_registry.client import (
    BlobReader,
    RegistryClient,
    StalledError,
    TLSOptions,
    bodies,
    reading,
)

from registry.tests.client import sha256
from registry.tests.hostile import (
    PATIENCES,
    FakeTime,
    HostileRegistry,
    cut,
    halting,
    hostile,
    in_turn,
    tls_of,
)
from registry.tests.serving import Certificates

BIG = os.urandom(9_000_000)
DIGEST = sha256(BIG)
BLOB = f"/v2/a/blobs/{DIGEST}"
_PATIENCE = 60

Test = Callable[[HostileRegistry, RegistryClient], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Run a test with a registry and a client, in the loop that is the parameter."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(test: Test, made: Certificates | None = None, timeout: float = 60) -> None:
        tls, options = None, TLSOptions()
        if made is not None:
            tls, options = tls_of(made), TLSOptions((made.authority,))

        async def main() -> None:
            async with (
                hostile(tls) as registry,
                RegistryClient(
                    registry.host,
                    tls=options,
                    retries=FakeTime().retries(attempts=2),
                    timeout=timeout,
                ) as client,
            ):
                await test(registry, client)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return run


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Give the bytes that were left of each body that was taken over."""
    found: list[int] = []

    class Noticed(bodies._Body):
        def __init__(self, transport: Any, handler: Any, left: int) -> None:
            found.append(left)
            super().__init__(transport, handler, left)

    monkeypatch.setattr(bodies, "_Body", Noticed)
    yield found


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


async def opened(client: RegistryClient, **options: Any) -> BlobReader:
    return await client.repository("a").blobs.open(DIGEST, **options)


@pytest.mark.parametrize("is_plain", [True, False], ids=["http", "https"])
@pytest.mark.parametrize("before", [0, 1000])
def test_body_whose_headers_are_read_comes_past_the_client(
    run: Callable[..., None], taken: list[int], tmp_path: Path, is_plain: bool, before: int
) -> None:
    async def late(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(BIG)
        await response.prepare(request)
        await response.write(BIG[:before])
        await until(lambda: bool(taken))
        await response.write(BIG[before:])
        return response

    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        registry.on("GET", BLOB, late)
        async with await opened(client) as reader:
            closed = reader._answer._response.connection.protocol.closed  # type: ignore[union-attr]
            chunks = [chunk async for chunk in reader]
        assert b"".join(chunks) == BIG
        # aiohttp is told of the end.
        assert closed is not None
        await asyncio.wait_for(closed, _PATIENCE)
        assert len(BIG) - before <= taken[0] <= len(BIG)
        assert max(map(len, chunks)) <= 2 << 20

    run(test, None if is_plain else Certificates(tmp_path))


def test_body_that_waits_for_its_reader_comes_whole(
    run: Callable[..., None], taken: list[int]
) -> None:
    async def early(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=BIG)

    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        registry.on("GET", BLOB, early)
        async with await opened(client) as reader:
            assert reader._answer is not None
            content = reader._answer._response.content
            # Until aiohttp has stopped to read.
            await until(lambda: content.total_bytes > 2 << 20)
            assert await reader.read() == BIG
        assert taken == []

    run(test)


def test_large_chunk_is_hashed_while_it_is_used_and_before_what_follows(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # However the body is cut into pieces, none of them is hashed in the loop's own thread.
    monkeypatch.setattr(reading, "_HASHED_IN_THREAD", 0)
    given = threading.Event()
    most = len(BIG) - 10

    class Slow:
        """A hash that is not ready with the large part of a body before its reader has it."""

        def __init__(self) -> None:
            self.hash, self.count = hashlib.sha256(), 0

        def update(self, data: bytes, /) -> None:
            self.count += len(data)
            if self.count == most:
                assert given.wait(_PATIENCE)
                time.sleep(0.1)
            self.hash.update(data)

        def hexdigest(self) -> str:
            return self.hash.hexdigest()

    async def in_two(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(BIG)
        await response.prepare(request)
        await response.write(BIG[:most])
        await until(given.is_set)
        await response.write(BIG[most:])
        return response

    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        registry.on("GET", BLOB, in_two)
        received = 0
        async with await opened(client, before=Slow()) as reader:
            async for chunk in reader:
                received += len(chunk)
                if received == most:
                    given.set()
        assert received == len(BIG)

    run(test)


def test_body_of_which_little_is_left_costs_no_connection(
    run: Callable[..., None], taken: list[int]
) -> None:
    data, begun = BIG[: bodies.LEAST], 1 << 20

    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        is_open = asyncio.Event()

        async def late(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = len(data)
            await response.prepare(request)
            await response.write(data[:begun])
            await is_open.wait()
            await response.write(data[begun:])
            return response

        registry.on("GET", "/v2/a/blobs/*", late)
        async with await client.repository("a").blobs.open(sha256(data)) as reader:
            assert reader._answer is not None
            content = reader._answer._response.content
            await until(lambda: content.total_bytes == begun)
            is_open.set()
            assert await reader.read() == data
        assert taken == []

    run(test)


def test_body_that_breaks_off_goes_on_at_its_byte(
    run: Callable[..., None], taken: list[int]
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        registry.on("GET", BLOB, in_turn(cut(BIG, 3_000_000), cut(BIG, len(BIG))))
        async with await opened(client) as reader:
            assert await reader.read() == BIG
        first, second = registry.asked("GET", DIGEST)
        begin = int(second["Range"].removeprefix("bytes=").partition("-")[0])
        assert "Range" not in first
        assert 0 < begin <= 3_000_000

    run(test)


def test_connection_that_is_silent_for_too_long_is_an_error(
    run: Callable[..., None], taken: list[int]
) -> None:
    seen: list[tuple[str, int, int]] = []

    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        over = asyncio.Event()
        taken.clear()
        registry.on("GET", BLOB, halting(BIG, 1000, over))
        try:
            with pytest.raises(StalledError) as caught:
                async with asyncio.timeout(_PATIENCE), await opened(client) as reader:
                    await reader.read()
        finally:
            over.set()
        said = str(caught.value).removeprefix(f"{client.host}: ")
        seen.append((said, len(taken), len(registry.requests)))

    for seconds in PATIENCES:
        run(test, timeout=seconds)
        expected = (f"GET {BLOB}: nothing has come for {seconds:g} s", 2, 2)
        # With more than the first it is not the connection, or the headers, that took too long.
        if seen[-1] == expected:
            break
    assert seen[-1] == expected


def test_reader_that_goes_away_lets_go_of_the_connection(
    run: Callable[..., None], taken: list[int]
) -> None:
    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        is_gone = asyncio.Event()

        async def endless(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = len(BIG) * 1000
            await response.prepare(request)
            await until(lambda: bool(taken))
            try:
                while True:
                    await response.write(BIG)
            except ConnectionError:
                is_gone.set()
                raise

        registry.on("GET", BLOB, endless)
        async with await opened(client) as reader:
            assert await anext(reader)
        await asyncio.wait_for(is_gone.wait(), _PATIENCE)

    run(test)


def test_what_follows_the_body_is_no_part_of_it(run: Callable[..., None], taken: list[int]) -> None:
    async def long(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(BIG)
        await response.prepare(request)
        await until(lambda: bool(taken))
        await response.write(BIG[:-1000])
        assert request.transport is not None
        # In one piece, so that whoever reads the first reads both.
        request.transport.write(BIG[-1000:] + b"and more")
        return response

    async def test(registry: HostileRegistry, client: RegistryClient) -> None:
        registry.on("GET", BLOB, long)
        for _ in range(2):
            async with await opened(client) as reader:
                assert reader._answer is not None
                chunks = bodies.chunks_of(reader._answer._response)
                assert b"".join([chunk async for chunk in chunks]) == BIG
            taken.clear()

    run(test)
