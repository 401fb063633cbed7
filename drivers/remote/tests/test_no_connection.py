"""Servers that are not there: the error says which, and why."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest
from storagedriver_remote import _client

from storagedriver_core import Storage, UnavailableError

from .serving import BOUND, remote, run

SECRET = "hunter2-and-nobody-else"


async def fault(address: str) -> str:
    with pytest.raises(UnavailableError) as caught:
        async with asyncio.timeout(BOUND), Storage(remote(address, token=SECRET)):
            pass
    assert caught.value.temporary and caught.value.outcome == "none"
    assert SECRET not in str(caught.value)
    return caught.value.message


@run
async def test_socket_that_is_missing_is_named(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    assert await fault(address) == f"no connection to {address}: No such file or directory"


@run
async def test_socket_that_nobody_listens_at_is_named(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert await fault(f"unix:{path}") == f"no connection to unix:{path}: Connection refused"


@run
async def test_port_that_nobody_listens_at_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert await fault(address) == f"no connection to {address}: Connection refused"


@run
async def test_host_without_an_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=unknown))
    address = "http://nowhere.invalid:80"
    assert await fault(address) == f"no connection to {address}: Name or service not known"


@run
async def test_server_that_does_not_take_the_connection_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_client, "_PATIENCE", aiohttp.ClientTimeout(sock_connect=0.2))
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(16):  # which nobody accepts, and of which the first one or two are queued
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}"
        assert await fault(address) == f"no connection to {address} in 10 s"
