"""SFTP beside the suite: sessions and connections that end, and syncs that fail."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko
import pytest
from storagedriver_fsspec import _sftp, _sftp_session
from storagedriver_fsspec._config import FsspecConfig
from storagedriver_fsspec._driver import BlockingFsspecDriver, fsspec_driver
from storagedriver_fsspec._errors import NotDurableError
from storagedriver_fsspec._files import finished
from storagedriver_fsspec._sftp import SftpFiles
from storagedriver_fsspec._sftp_requests import sync
from storagedriver_fsspec._sftp_session import Session, Wire

from servers.sshd import Sshd
from storagedriver_core import (
    OperationTimeoutError,
    PathNotFoundError,
    Storage,
    StorageDriverError,
    UnavailableError,
)


@pytest.fixture
def driver(sshd: Sshd, sftp_options: dict[str, object]) -> BlockingFsspecDriver:
    """Give an unopened driver on a directory of its own."""
    root = f"{sshd.files}/{time.monotonic_ns()}"
    config = {"protocol": "sftp", "root_directory": root, "options": sftp_options}
    made = fsspec_driver(FsspecConfig.model_validate(config))
    assert isinstance(made, BlockingFsspecDriver)
    return made


def files_of(driver: BlockingFsspecDriver) -> SftpFiles:
    files = driver._objects.files
    assert isinstance(files, SftpFiles)
    return files


def transport_of(driver: BlockingFsspecDriver) -> Any:
    return files_of(driver).sessions._fs.client.get_transport()


def only_session(driver: BlockingFsspecDriver) -> Session:
    [session] = files_of(driver).sessions._sessions
    return session


def process_of(session: Session) -> int:
    """Give the process at the server that serves a session: it says so itself."""
    with session.use():
        return int(session.client.normalize("/proc/self").rpartition("/")[2])


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.001)


@contextmanager
def silenced(session: Session) -> Iterator[int]:
    """Stop the session's process, and end it at the latest when the block does."""
    process = process_of(session)
    os.kill(process, signal.SIGSTOP)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def test_goes_on_after_its_connection_was_lost(driver: BlockingFsspecDriver) -> None:
    async def use() -> None:
        async with Storage(driver) as storage:
            await storage.put_content("/a", b"content")
            transport_of(driver).close()
            with_errors = 0
            for _ in range(3):
                try:
                    assert await storage.get_content("/a") == b"content"
                except UnavailableError:
                    with_errors += 1
            assert with_errors <= 1
            await storage.delete("/a")

    asyncio.run(use())


def test_session_that_has_ended_is_not_used_again(driver: BlockingFsspecDriver) -> None:
    async def use() -> None:
        async with Storage(driver) as storage:
            await storage.put_content("/a", b"content")
            transport, session = transport_of(driver), only_session(driver)
            os.kill(process_of(session), signal.SIGKILL)
            await asyncio.to_thread(wait_until, lambda: not session.is_open)
            assert await storage.get_content("/a") == b"content"
            assert session not in files_of(driver).sessions._sessions
            assert transport_of(driver) is transport
            await storage.delete("/a")

    asyncio.run(use())


def test_session_that_ends_during_a_call_is_told_once(driver: BlockingFsspecDriver) -> None:
    async def use() -> None:
        async with Storage(driver) as storage:
            await storage.put_content("/a", b"content")
            session = only_session(driver)
            with silenced(session) as process:
                sent = session.client.request_number
                call = asyncio.to_thread(lambda: finished(files_of(driver).remove("/a")))
                removing = asyncio.create_task(call)
                await asyncio.to_thread(
                    wait_until, lambda: bool(session.client.request_number > sent)
                )
                os.kill(process, signal.SIGKILL)
                with pytest.raises(UnavailableError) as lost:
                    await removing
            assert lost.value.temporary and lost.value.outcome == "unknown"
            assert await storage.get_content("/a") == b"content"
            assert session not in files_of(driver).sessions._sessions
            await storage.delete("/a")

    asyncio.run(use())


def test_request_on_a_closed_channel_was_not_sent(driver: BlockingFsspecDriver) -> None:
    async def use() -> None:
        async with Storage(driver) as storage:
            await storage.put_content("/a", b"content")
            session = only_session(driver)
            with pytest.raises(UnavailableError) as lost, session.use():
                session.client.get_channel().close()
                session.client.remove("/a")  # paramiko's "Socket is closed" is a bare OSError
            assert lost.value.temporary and lost.value.outcome == "none"
            await storage.delete("/a")

    asyncio.run(use())


def test_session_that_is_silent_too_long_is_not_used_again(driver: BlockingFsspecDriver) -> None:
    async def use() -> None:
        async with Storage(driver) as storage:
            await storage.put_content("/a", b"content")
            session = only_session(driver)
            channel = session._wire._channel
            assert channel.gettimeout() == _sftp_session.SILENCE_SECONDS
            with silenced(session):
                # This one alone: a busy disk takes longer for others.
                channel.settimeout(0.3)
                with pytest.raises(OperationTimeoutError) as silent:
                    await storage.get_content("/a")
                assert silent.value.temporary
                # Its answers may come yet, into the middle of what the next one reads.
                assert await storage.get_content("/a") == b"content"
                assert session not in files_of(driver).sessions._sessions
            await storage.delete("/a")

    asyncio.run(use())


def test_reader_whose_session_has_ended_says_so(driver: BlockingFsspecDriver) -> None:
    async def use() -> None:
        async with Storage(driver) as storage:
            await storage.put_content("/a", bytes(4 * 1024 * 1024))
            session = only_session(driver)
            async with await storage.reader("/a") as reader:
                os.kill(process_of(session), signal.SIGKILL)
                with pytest.raises(UnavailableError):
                    while await reader.read(1024 * 1024):
                        pass
            await storage.delete("/a")

    asyncio.run(use())


def test_connection_that_gives_no_session_any_more_is_made_anew(
    driver: BlockingFsspecDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise paramiko.ChannelException(4, "Resource shortage")

    async def use() -> None:
        async with Storage(driver) as storage:
            await storage.put_content("/a", b"content")
            transport, session = transport_of(driver), only_session(driver)
            monkeypatch.setattr(files_of(driver).sessions._fs.client, "open_sftp", refuse)
            os.kill(process_of(session), signal.SIGKILL)
            await asyncio.to_thread(wait_until, lambda: not session.is_open)
            assert await storage.get_content("/a") == b"content"
            assert transport_of(driver) is not transport
            await storage.delete("/a")

    asyncio.run(use())


class StubChannel:
    """Not a server: a channel that goes silent after the first bytes of a packet."""

    closed = eof_received = False

    def __init__(self) -> None:
        self.pieces = [b"\0\0"]

    def recv(self, size: int) -> bytes:
        if not self.pieces:
            raise TimeoutError
        return self.pieces.pop()

    def close(self) -> None:
        self.closed = True


def test_silence_within_a_packet_closes_the_channel() -> None:
    channel = StubChannel()
    reading: Any = paramiko.sftp.BaseSFTP()
    wire = reading.sock = Wire(channel)
    with pytest.raises(TimeoutError):
        reading._read_packet()
    assert channel.closed and not wire.is_open


class StubClient:
    """Not a server: paramiko's client as if the server answered with one status."""

    def __init__(self, code: int) -> None:
        self.code = code

    def _async_request(self, answers: Any, *request: Any) -> int:
        self.answers = answers
        assert request[1:] == ("fsync@openssh.com", b"handle")
        return 7

    def _read_response(self) -> None:
        message = paramiko.Message()
        message.add_int(self.code)
        message.rewind()
        self.answers._async_response(101, message, 7)


class StubFile:
    handle = b"handle"


@pytest.mark.parametrize("code", [0, 8])
def test_sync_passes_where_it_is_done_and_where_the_server_has_none(code: int) -> None:
    sync(StubClient(code), StubFile())


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 7, 9])
def test_sync_that_failed_is_an_error(code: int) -> None:
    # 4 is what a server says of EIO, of a full disk and of a quota.
    with pytest.raises(NotDurableError):
        sync(StubClient(code), StubFile())


def test_upload_whose_sync_failed_is_not_committed_by_its_writer_but_by_who_writes_it_again(
    driver: BlockingFsspecDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        async with Storage(driver) as storage:
            writer = await storage.writer("/a")
            await writer.write(b"hello, ")
            token = await writer.suspend()
            writer = await storage.resume(token)
            await writer.write(b"world")

            def fail(*_: Any) -> None:
                raise NotDurableError

            with monkeypatch.context() as patch:
                # The server's answer, as above: a disk that fails is not to be had.
                patch.setattr(_sftp, "sync", fail)
                with pytest.raises(StorageDriverError):
                    await writer.commit()
            # The server's next sync would succeed.
            with pytest.raises(StorageDriverError):
                await writer.commit()
            with pytest.raises(PathNotFoundError):
                await storage.stat("/a")
            await writer.aclose()
            async with await storage.resume(token) as again:
                await again.write(b"world")
                await again.commit()
            assert await storage.get_content("/a") == b"hello, world"
            await storage.delete("/a")

    asyncio.run(use())
