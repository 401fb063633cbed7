"""The serving side: who gets in, what is refused, and what becomes of calls nobody waits for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Sequence,
)
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
import typer
from storagedriver_inmemory import InMemoryDriver
from storagedriver_remote._client import Client
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service
from storagedriver_remote.server.command import run_server

from storagedriver_core import (
    AuthenticationError,
    ByteStream,
    ConfigurationError,
    ConflictError,
    DriverMiddleware,
    FileInfo,
    InvalidPathError,
    ListOptions,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    StorageDriverError,
    UploadOptions,
)

from .serving import BOUND, eventually, remote, run, served

T = TypeVar("T")


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
        async with Storage(remote(f"unix:{path}")) as storage:
            await storage.check()  # the one that was there goes on
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
async def test_ending_server_leaves_the_socket_of_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with AsyncExitStack() as stack:
        async with served(f"unix:{path}"):
            # Whoever deploys anew has moved the old one out of the way.
            path.rename(tmp_path / "old")
            address = await stack.enter_async_context(served(f"unix:{path}"))
        async with Storage(remote(address)) as storage:
            await storage.check()
    assert not path.exists()


@run
async def test_what_is_no_path_gets_nowhere(tmp_path: Path) -> None:
    async with served(f"unix:{tmp_path}/socket") as address:
        client = Client(address, "")
        await client.open()
        try:
            for path in ("/../etc", "/a//b", "a", "", "/.storagedriver/../x", 7, None, "/\0"):
                for call in ("stat", "delete", "checksum"):
                    with pytest.raises(InvalidPathError):
                        await client.call(call, {"path": path, "algorithm": "sha256"})
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
    calls: dict[str, Callable[[Storage], Coroutine[Any, Any, object]]] = {
        "put_content": lambda storage: storage.put_content("/b", b"content"),
        "stat": lambda storage: storage.stat("/"),
        "read": _read,
        "list": _list,
    }
    for operation, call in calls.items():
        inner = InMemoryDriver()
        driver = Watched(inner, operation)
        async with (
            served(f"unix:{tmp_path}/socket", driver) as address,
            Storage(remote(address)) as storage,
        ):
            await inner.put_content("/a", b"content", PutOptions())
            task = asyncio.create_task(call(storage))
            async with asyncio.timeout(BOUND):
                await driver.begun.wait()
                task.cancel()
                await driver.cancelled.wait()
            with pytest.raises(asyncio.CancelledError):
                await task


async def _list(storage: Storage) -> object:
    return [info async for info in storage.list("/")]


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
    async with (
        served(f"unix:{tmp_path}/socket", Breaking(InMemoryDriver())) as address,
        Storage(remote(address)) as storage,
    ):
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


class Buggy(DriverMiddleware):
    """Fails in every call as no driver may, with an error that tells too much."""

    def __init__(self, driver: StorageDriver, error: type[Exception]) -> None:
        super().__init__(driver)
        self.error: type[Exception] | None = error

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        if self.error is not None and operation != "open_reader":
            raise self.error("a secret")
        return await call()


@run
async def test_bug_of_a_driver_is_an_error_and_no_end_of_the_server(tmp_path: Path) -> None:
    calls: list[Callable[[Storage], Coroutine[Any, Any, object]]] = [
        Storage.check,
        lambda storage: storage.put_content("/b", b"content"),
        lambda storage: storage.get_content("/a"),
        _read,
        _list,
    ]
    # Some of them are what a request that cannot be read raises as well.
    for error in (
        ZeroDivisionError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        BrokenPipeError,
    ):
        inner = InMemoryDriver()
        driver = Buggy(inner, error)
        async with (
            served(f"unix:{tmp_path}/socket", driver) as address,
            Storage(remote(address)) as storage,
        ):
            await inner.put_content("/a", b"content", PutOptions())
            for call in calls:
                with pytest.raises(StorageDriverError, match=error.__name__) as failed:
                    await call(storage)
                assert "the driver failed" in str(failed.value)
                assert "a secret" not in str(failed.value)
                assert failed.value.outcome == "unknown"
            driver.error = None
            assert (await storage.stat("/")).is_dir


@run
async def test_bug_of_a_driver_that_opens_is_the_drivers(tmp_path: Path) -> None:
    class Failing(DriverMiddleware):
        async def open(self) -> None:
            raise ValueError("a secret")

    async with served(f"unix:{tmp_path}/socket", Failing(InMemoryDriver())) as address:
        with pytest.raises(StorageDriverError, match="driver failed: ValueError") as failed:
            await remote(address).open()
        assert "a secret" not in str(failed.value)


@run
async def test_request_that_cannot_be_read_is_told_so_and_changes_nothing(tmp_path: Path) -> None:
    async with served(f"unix:{tmp_path}/socket") as address:
        client = Client(address, "")
        await client.open()
        try:
            for arguments in ({}, {"path": "/a", "conditions": {"if_modified_since": "noon"}}):
                with pytest.raises(StorageDriverError, match="not as the protocol says") as failed:
                    await client.call("stat", arguments)
                assert failed.value.outcome == "none"
        finally:
            await client.aclose()


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
        await eventually(lambda: driver.released == ["lost"])
        await silent.aclose()


@run
async def test_client_that_is_killed_loses_what_it_holds_at_once(tmp_path: Path) -> None:
    driver = Releases(InMemoryDriver())
    async with (
        served(f"unix:{tmp_path}/socket", driver) as address,
        Storage(remote(address)) as storage,
    ):
        killed = remote(address)
        await killed.open()
        await killed.open_upload("/a", "lost", UploadOptions())
        assert [info.active async for info in storage.list_uploads()] == [True]
        await killed._link.aclose()  # its connections end, and nothing is said
        assert (await storage.stat("/")).is_dir
        assert [info.active async for info in storage.list_uploads()] == [False]
        assert driver.released == ["lost"]


@run
async def test_client_that_holds_something_is_heard_of(tmp_path: Path) -> None:
    # Not so short that a busy machine loses the session meanwhile.
    service = Service(Storage(InMemoryDriver()), lease_seconds=3.0)
    async with listening(service, f"unix:{tmp_path}/socket") as address:
        driver = remote(address)
        await driver.open()
        await driver.open_upload("/a", "holder", UploadOptions())
        (session,) = service.sessions._sessions.values()
        before = session.heard_at
        await eventually(lambda: session.heard_at > before)
        await driver.aclose()


def write_config(directory: Path) -> Path:
    config = directory / "storage.yml"
    config.write_text(
        f"storage: {{ driver: filesystem, parameters: {{ root_directory: {directory}/store }} }}\n"
    )
    return config


def test_command_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\nsecond\n")
    token.chmod(0o600)
    command = [sys.executable, "-m", "storagedriver_core.cli", "serve", str(write_config(tmp_path))]
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


def serve_in_vain(config: Path, **options: Any) -> None:
    settings: dict[str, Any] = {"listen": "127.0.0.1:0", "token_file": None, "describe": False}
    run_server(config, **{**settings, "token_variable": "NOT_SET", **options})


def test_command_describes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    serve_in_vain(config, describe=True)
    said = json.loads(capsys.readouterr().out)
    assert said["durable_on_commit"] is True and said["local_path"] is False
    with pytest.raises(ConfigurationError, match="token"):
        serve_in_vain(config)
    token = tmp_path / "token"
    token.write_text("first")
    token.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        serve_in_vain(config, token_file=token)
    token.write_text(" ")
    token.chmod(0o600)
    with pytest.raises(ConfigurationError, match="no token"):
        serve_in_vain(config, token_file=token)
    token.write_bytes(b"hidden\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 6"):
        serve_in_vain(config, token_file=token)
    with pytest.raises(typer.BadParameter):
        serve_in_vain(config, listen="")
