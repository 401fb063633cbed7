"""Ranges of blobs that are not cached: what clients that do not read can hold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from storagedriver_registry.api.request import Message, Request
from storagedriver_registry.api.response import StreamResponse
from storagedriver_registry.api.services import Services
from storagedriver_registry.digest import compute_digest
from storagedriver_registry.proxy import blobs as module
from storagedriver_registry.proxy import downloads
from storagedriver_registry.proxy.blobs import ProxiedBlobs
from storagedriver_registry.proxy.counting import ProxyCounter
from storagedriver_registry.proxy.downloads import Downloads
from storagedriver_registry.proxy.errors import UpstreamDownError
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.storage import make_stores

from registry.tests.application import in_memory
from registry.tests.upstreams import ScriptedUpstream
from storagedriver_core import Storage

DATA = os.urandom(300_000)
DIGEST = compute_digest(DATA)

Ask = Callable[[int, int], Awaitable[StreamResponse]]


def run(test: Callable[[ScriptedUpstream, Ask], Awaitable[None]], folder: Path) -> None:
    async def main() -> None:
        async with Storage(in_memory()) as storage:
            stores = make_stores(storage)
            upstream, fetched, counter = ScriptedUpstream(DATA), Fetched(storage), ProxyCounter()
            coming = Downloads(upstream, stores.blobs, fetched, str(folder), counter)
            proxied = ProxiedBlobs(upstream, coming, fetched, counter)
            services = cast(Services, SimpleNamespace(stores=stores, redirect_enabled=False))

            async def ask(start: int, end: int) -> StreamResponse:
                value = f"bytes={start}-{end - 1}".encode()
                scope = {"method": "GET", "headers": [(b"range", value)]}
                request = Request(scope, receive, "/", "")
                request.name, request.digest = "a", DIGEST
                response = await proxied.get(services, request)
                assert isinstance(response, StreamResponse)
                assert response.status == 206
                return response

            await test(upstream, ask)
            await coming.aclose()

    asyncio.run(main())


async def receive() -> Message:
    raise AssertionError


async def read(response: StreamResponse) -> bytes:
    async with response._reader:
        return b"".join([chunk async for chunk in response._reader])


def test_ranges_that_nobody_reads_do_not_take_all_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_PASSING", 2)

    async def test(upstream: ScriptedUpstream, ask: Ask) -> None:
        unread = [await ask(start, start + 1000) for start in (0, 1000)]
        assert upstream.open_blobs == 2
        # The others come from a download, which nobody holds up.
        parts = [await ask(start, start + 1000) for start in (2000, 299_000)]
        assert await asyncio.gather(*map(read, parts)) == [DATA[2000:3000], DATA[299_000:]]
        assert [what for what, _, _ in upstream.calls].count("get") == 3
        for start, response in zip((0, 1000), unread, strict=True):
            assert await read(response) == DATA[start : start + 1000]
        assert upstream.open_blobs == 0

    run(test, tmp_path)


def test_range_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.05)

    async def test(upstream: ScriptedUpstream, ask: Ask) -> None:
        upstream.gate.clear()
        response = await ask(0, 1000)
        with pytest.raises(UpstreamDownError, match="nothing came"):
            async with asyncio.timeout(60):
                await read(response)
        assert upstream.open_blobs == 0

    run(test, tmp_path)
