"""The serving side: who gets in, what is refused, and what becomes of calls nobody waits for."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from storagedriver_inmemory import InMemoryDriver
from storagedriver_remote._client import Client
from storagedriver_remote._config import RemoteConfig
from storagedriver_remote._driver import RemoteDriver
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service

from storagedriver_core import (
    AuthenticationError,
    ByteStream,
    ConfigurationError,
    ConflictError,
    DriverMiddleware,
    FileInfo,
    ListOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    UnavailableError,
    UploadOptions,
)

T = TypeVar("T")
BOUND = 60.0


def run(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run_it(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run_it


@asynccontextmanager
async def served(
    listen: str,
    driver: StorageDriver | None = None,
    tokens: Sequence[str] = (),
    lease_seconds: float = 120.0,
) -> AsyncIterator[str]:
    service = Service(Storage(driver or InMemoryDriver()), lease_seconds=lease_seconds)
    async with listening(service, listen, tokens) as address:
        yield address


def remote(address: str, **options: Any) -> RemoteDriver:
    return RemoteDriver(RemoteConfig(connect=address, **options))


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(BOUND):
        while not await is_so():
            await asyncio.sleep(0.01)


@run
async def test_tcp_without_a_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="token"):
        async with served("127.0.0.1:0"):
            pass


@run
async def test_only_who_has_a_token_gets_in() -> None:
    async with served("127.0.0.1:0", tokens=["old", "new"]) as address:
        for token in ("old", "new"):
            async with Storage(remote(address, token=token)) as storage:
                await storage.check()
        for wrong in ({"token": "ol"}, {}):
            with pytest.raises(AuthenticationError):
                await remote(address, **wrong).open()
        async with aiohttp.ClientSession() as session:
            for path in ("/v1/stat", "/v2/handshake", "/"):
                async with session.get(address + path) as answer:
                    assert answer.status in (401, 405)


@run
async def test_socket_is_for_its_owner_alone_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with served(f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(ConfigurationError, match="in use"):
            async with served(f"unix:{path}"):
                pass
    assert not path.exists()


@run
async def test_socket_of_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    left = await asyncio.start_unix_server(lambda *_: None, path)
    left.close()
    await left.wait_closed()
    assert path.exists()
    async with served(f"unix:{path}") as address, Storage(remote(address)) as storage:
        await storage.check()


@run
async def test_what_is_no_path_gets_nowhere(tmp_path: Path) -> None:
    async with served(f"unix:{tmp_path}/socket") as address:
        client = Client(address, "")
        await client.open()
        try:
            for path in ("/../etc", "/a//b", "a", "", "/.storagedriver/../x", 7, None, "/\0"):
                for call in ("stat", "delete", "checksum"):
                    with pytest.raises(Exception, match=r"component|path|absolute|character") as no:
                        await client.call(call, {"path": path, "algorithm": "sha256"})
                    assert not isinstance(no.value, UnavailableError), path
        finally:
            await client.aclose()


class Watched(DriverMiddleware):
    """Stops in one kind of call, and notes how it ended."""

    def __init__(self, driver: StorageDriver, operation: str) -> None:
        super().__init__(driver)
        self.operation = operation
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation != self.operation:
            return await call()
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError


@run
async def test_call_that_nobody_waits_for_is_cancelled(tmp_path: Path) -> None:
    for operation in ("put_content", "stat", "read", "list"):
        driver = Watched(InMemoryDriver(), operation)
        async with served(f"unix:{tmp_path}/socket", driver) as address:
            async with Storage(remote(address)) as storage:
                calls: dict[str, Coroutine[Any, Any, object]] = {
                    "put_content": storage.put_content("/a", b"content"),
                    "stat": storage.stat("/"),
                    "read": storage.get_content("/a"),
                    "list": anext(storage.list("/")),  # type: ignore[dict-item]  # an awaitable
                }
                if operation == "read":
                    await driver.driver.put_content("/a", b"content", _plain())
                    calls["read"] = _read(storage)
                task = asyncio.ensure_future(calls.pop(operation))
                for call in calls.values():
                    call.close()
                async with asyncio.timeout(BOUND):
                    await driver.begun.wait()
                    task.cancel()
                    await driver.cancelled.wait()
                with pytest.raises(asyncio.CancelledError):
                    await task


def _plain() -> Any:
    from storagedriver_core import PutOptions

    return PutOptions()


async def _read(storage: Storage) -> bytes:
    async with await storage.reader("/a") as reader:
        return await reader.read()


class Breaking(DriverMiddleware):
    """Its readers and listings break off in the middle, each with an error of its own."""

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return _BreakingStream(FileInfo(path, size=4 * 1024 * 1024))

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        for number in range(200):
            yield [FileInfo(f"/{number:03}-{each}-{'x' * 100}") for each in range(10)]
        raise ConflictError("the directory was replaced")


class _BreakingStream(ByteStream):
    def __init__(self, info: FileInfo) -> None:
        self.info = info
        self._left = 3

    async def next_chunk(self) -> bytes:
        self._left -= 1
        if not self._left:
            raise ConflictError("the object was replaced")
        return bytes(1024 * 1024)


@run
async def test_error_in_the_middle_comes_as_what_it_is(tmp_path: Path) -> None:
    async with served(f"unix:{tmp_path}/socket", Breaking(InMemoryDriver())) as address:
        async with Storage(remote(address)) as storage:
            async with await storage.reader("/a") as reader:
                with pytest.raises(ConflictError, match="object was replaced"):
                    while await reader.read(1024):
                        pass
                assert reader.position == 2 * 1024 * 1024
            seen = 0
            with pytest.raises(ConflictError, match="directory was replaced"):
                async for _ in storage.list("/"):
                    seen += 1
            assert seen == 2000


@run
async def test_bug_of_a_driver_is_an_error_and_no_end_of_the_server(tmp_path: Path) -> None:
    class Buggy(DriverMiddleware):
        async def check(self) -> None:
            raise ZeroDivisionError("a secret")

    async with served(f"unix:{tmp_path}/socket", Buggy(InMemoryDriver())) as address:
        async with Storage(remote(address)) as storage:
            with pytest.raises(Exception, match="ZeroDivisionError") as failed:
                await storage.check()
            assert "a secret" not in str(failed.value)
            assert (await storage.stat("/")).is_dir


class Releases(DriverMiddleware):
    """Notes which holders are let go."""

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.released: list[str] = []

    def release_upload(self, upload: Any) -> None:
        self.released.append(upload.holder)
        super().release_upload(upload)


@run
async def test_client_that_is_not_heard_of_loses_what_it_holds() -> None:
    driver = Releases(InMemoryDriver())
    async with served("127.0.0.1:0", driver, ["token"], lease_seconds=0.2) as address:
        silent = remote(address, token="token")
        await silent.open()
        await silent.open_upload("/a", "lost", UploadOptions())
        silent._loop = None  # as if it hung: it renews nothing
        living = remote(address, token="token")
        await living.open()
        await living.open_upload("/b", "kept", UploadOptions())

        async def is_released() -> bool:
            return "lost" in driver.released

        await eventually(is_released)
        # As long as it is heard of, which renewals take care of.
        assert "kept" not in driver.released or living._held == set()
        await living.aclose()
        await silent.aclose()


def test_command_serves_describes_and_ends(tmp_path: Path) -> None:
    config = tmp_path / "storage.yml"
    config.write_text(
        f"storage: {{ driver: filesystem, parameters: {{ root_directory: {tmp_path}/store }} }}\n"
    )
    token = tmp_path / "token"
    token.write_text("first\nsecond\n")
    token.chmod(0o600)
    command = [sys.executable, "-m", "storagedriver_core.cli", "serve", str(config)]

    said = subprocess.run([*command, "--describe"], capture_output=True, text=True, check=True)
    assert '"durable_on_commit": true' in said.stdout and '"local_path": false' in said.stdout

    refused = subprocess.run(
        [*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "token" in refused.stderr

    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--token-file", str(token)],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("serving at ").strip()

        async def use() -> None:
            async with Storage(remote(address, token="second")) as storage:
                await storage.put_content("/a", b"content")
                assert (await storage.identity())["server"] == address

        asyncio.run(use())
        assert (tmp_path / "store" / "a").read_bytes() == b"content"
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(BOUND) == 0

    token.chmod(0o644)
    open_to_all = subprocess.run(
        [*command, "--listen", "127.0.0.1:0", "--token-file", str(token)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert open_to_all.returncode == 2 and "chmod 600" in open_to_all.stderr
