"""Programs that a driver starts: watched, started again, and never outliving who started them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from storagedriver_remote._child import _Run
from storagedriver_remote._config import RemoteConfig
from storagedriver_remote._driver import RemoteDriver
from storagedriver_testsuite.kills import run_kills

from storagedriver_core import (
    ConfigurationError,
    Storage,
    UnavailableError,
    open_storage,
)

from .nodejs import environment
from .programs import FilesystemProgramHarness, NodeProgramHarness
from .serving import BOUND, eventually, run


def filesystem(directory: Path, **options: Any) -> Storage:
    parameters = {"driver": "filesystem", "parameters": {"root_directory": str(directory)}}
    config = {"program": "python", "parameters": parameters, "start_seconds": BOUND, **options}
    return open_storage({"storage": {"driver": "remote", "parameters": config}})


@pytest.fixture(autouse=True)
def programs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(sys.executable).parent
    monkeypatch.setenv("PATH", os.pathsep.join([str(own), environment()["PATH"]]))


@pytest.fixture(autouse=True)
def what_the_killed_forget_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Give a temporary directory of the test's own; `tmp_path` is too long for a socket's name.

    It is asked for all the same: pytest makes it below the temporary directory of the moment.
    """
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield


def pid_of(storage: Storage) -> int:
    driver = storage.driver
    assert isinstance(driver, RemoteDriver)
    child = driver._link._child
    assert child is not None and child.pid is not None
    return child.pid


@run
async def test_program_is_started_and_ends_with_the_driver(tmp_path: Path) -> None:
    storage = filesystem(tmp_path / "store")
    async with storage:
        await storage.put_content("/a", b"content")
        assert (tmp_path / "store" / "a").read_bytes() == b"content"
        assert await storage.get_content("/a") == b"content"
        assert not storage.capabilities.local_path and storage.capabilities.durable_on_commit
        pid = pid_of(storage)
    assert not psutil.pid_exists(pid)


@run
async def test_killed_program_is_a_temporary_error_and_loses_nothing(tmp_path: Path) -> None:
    async with filesystem(tmp_path / "store") as storage:
        await storage.put_content("/a", b"content")
        writer = await storage.writer("/w")
        await writer.write(b"first ")
        token = await writer.suspend()
        writer = await storage.resume(token)
        for _ in range(2):
            pid = pid_of(storage)
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda pid=pid: not _runs(pid))  # type: ignore[misc]  # bound on purpose
            try:
                await storage.put_content("/b", b"more")
            except UnavailableError as error:
                assert error.temporary and error.driver_name == "remote"
            # Started again, and everything that was acknowledged is there.
            async with asyncio.timeout(BOUND):
                while True:
                    try:
                        assert await storage.get_content("/a") == b"content"
                        break
                    except UnavailableError as error:
                        assert error.temporary
            assert pid_of(storage) != pid
        await writer.aclose()
        async with await storage.resume(token) as writer:
            assert writer.offset == 6
            await writer.write(b"second")
            await writer.commit()
        assert await storage.get_content("/w") == b"first second"


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@run
async def test_call_in_the_middle_of_a_kill_is_a_temporary_error(tmp_path: Path) -> None:
    async with filesystem(tmp_path / "store") as storage:
        await storage.put_content("/large", bytes(32 * 1024 * 1024))
        async with await storage.reader("/large") as reader:
            await reader.read(1000)
            os.kill(pid_of(storage), signal.SIGKILL)
            with pytest.raises(UnavailableError) as broken:
                while await reader.read(1024 * 1024):
                    pass
        assert broken.value.temporary and broken.value.outcome == "none"


def write_program(directory: Path, name: str, text: str) -> None:
    file = directory / f"registry-storagedriver-{name}"
    file.write_text(f"#!/bin/sh\n{text}")
    file.chmod(0o755)


@run
async def test_program_that_refuses_its_configuration_says_why(tmp_path: Path) -> None:
    storage = open_storage(
        {
            "storage": {
                "driver": "remote",
                "parameters": {"program": "python", "parameters": {"driver": "no-such-driver"}},
            }
        }
    )
    with pytest.raises(ConfigurationError, match="no-such-driver"):
        await storage.open()


@run
async def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    driver = RemoteDriver(RemoteConfig(program="not-there"))
    with pytest.raises(ConfigurationError, match="registry-storagedriver-not-there"):
        await driver.open()


@run
async def test_program_that_cannot_be_executed_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # The file is there, and what is to run it is not.
    program = tmp_path / "registry-storagedriver-broken"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(ConfigurationError, match=r"registry-storagedriver-broken.*No such file"):
        await RemoteDriver(RemoteConfig(program="broken")).open()
    assert not list(own.iterdir())


@run
async def test_program_that_cannot_be_executed_again_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "registry-storagedriver-moved"
    program.write_text('#!/bin/sh\nexec registry-storagedriver-python "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    away = tmp_path / "away"
    async with filesystem(tmp_path / "store", program="moved") as storage:
        driver = storage.driver
        assert isinstance(driver, RemoteDriver) and driver._link._child is not None
        child = driver._link._child
        program.rename(away)
        os.kill(pid_of(storage), signal.SIGKILL)
        await eventually(lambda: child._failures > 1)
        away.rename(program)
        await eventually(lambda: child.pid is not None)
        await storage.put_content("/a", b"content")
        program.rename(away)
        before = child._failures
        os.kill(pid_of(storage), signal.SIGKILL)
        await eventually(lambda: child._failures > before + 1)
        directory = child._directory
    # Closed while none runs and none can be started.
    assert not Path(directory).exists()


@run
async def test_directory_goes_though_the_end_of_a_program_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(run: _Run) -> None:
        await end(run)
        raise RuntimeError("broken")

    end = _Run.end
    storage = filesystem(tmp_path / "store")
    await storage.open()
    driver = storage.driver
    assert isinstance(driver, RemoteDriver) and driver._link._child is not None
    directory = driver._link._child._directory
    monkeypatch.setattr(_Run, "end", fail)
    with pytest.raises(RuntimeError, match="broken"):
        await storage.aclose()
    assert not Path(directory).exists()


@run
async def test_program_that_is_never_ready_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    write_program(tmp_path, "mute", f"echo $$ > '{pid_file}'\ncat > /dev/null\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    driver = RemoteDriver(RemoteConfig(program="mute", start_seconds=5.0))
    with pytest.raises(UnavailableError, match="not ready"):
        await driver.open()
    assert not psutil.pid_exists(int(pid_file.read_text()))


@run
async def test_what_a_program_says_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_program(tmp_path, "talks", "echo I am not well >&2\nexit 7\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    driver = RemoteDriver(RemoteConfig(program="talks"))
    with caplog.at_level("INFO"), pytest.raises(UnavailableError, match=r"code 7.*not well"):
        await driver.open()
    assert "registry-storagedriver-talks: I am not well" in caplog.text


@run
async def test_program_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    text = (
        "import asyncio, json, os, sys\n"
        "from storagedriver_core import open_storage\n"
        "async def main():\n"
        "    async with open_storage(json.loads(sys.argv[1])) as storage:\n"
        "        print(storage.driver._link._child.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parameters = {
        "program": "python",
        "parameters": {"driver": "filesystem", "parameters": {"root_directory": str(tmp_path)}},
    }
    config = json.dumps({"storage": {"driver": "remote", "parameters": parameters}})
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, config, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert _runs(pid)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.communicate()
    await eventually(lambda: not _runs(pid))


@pytest.mark.parametrize("kills", [1, pytest.param(100, marks=pytest.mark.large)])
def test_uploads_go_on_in_another_process_with_another_program(kills: int, tmp_path: Path) -> None:
    done = run_kills(FilesystemProgramHarness(tmp_path), kills, most_seconds=0.3)
    assert done.with_token + done.without_token == kills


@pytest.mark.service("node")
@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.large)])
def test_uploads_of_the_driver_in_nodejs_survive_kills(kills: int, tmp_path: Path) -> None:
    done = run_kills(NodeProgramHarness(tmp_path), kills, most_seconds=0.3)
    assert done.with_token + done.without_token == kills
