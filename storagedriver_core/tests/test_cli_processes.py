"""What only a process of its own can show: kills, interrupts, pipes, and copies that go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from storagedriver_core import UploadInfo, open_storage
from storagedriver_core.tests.conftest import Site
from storagedriver_core.tests.drip_plugin import CHUNK, SIZE, content
from storagedriver_core.tests.waiting import wait_until

WAIT_AT = 20 * CHUNK

# Checkpoints after so little that a small file has many.
MAIN = (
    "from storagedriver_core.cli import _copy, main\n"
    f"_copy.checkpoint_bytes = {8 * CHUNK}\n"
    "main()\n"
)


class Shell:
    """Starts `storagedriver`; its source drips, its target is a directory."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self.root = folder / "store"
        self.states = folder / "state" / "storagedriver" / "copies"
        self.log = folder / "log"
        self.source = folder / "source.yml"
        self.target = folder / "target.yml"
        self.target.write_text(
            f"storage:\n  driver: filesystem\n  parameters: {{root_directory: {self.root}}}\n"
        )
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(site),
            "PYTHONWARNINGS": "error",
            "XDG_STATE_HOME": str(folder / "state"),
        }

    def drip(self, *, wait_at: int = SIZE, etag: str = "one") -> None:
        self.source.write_text(
            "storage:\n  driver: drip\n"
            f"  parameters: {{log: {self.log}, wait_at: {wait_at}, etag: {etag}}}\n"
        )

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            # A shell starts what runs in its background with SIGINT ignored, and so would be these.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *arguments: str) -> str:
        with self.started(*arguments) as process:
            out, error = process.communicate(timeout=60)
            assert (process.returncode, error) == (0, b"")
            return out.decode()

    def copy(self) -> list[str]:
        return ["cp", f"{self.source}:/big", f"{self.target}:/copy"]

    def begin_copy_and_kill(self) -> None:
        self.drip(wait_at=WAIT_AT)
        with self.started(*self.copy()) as process:
            wait_until(lambda: process.poll() is not None or self.has_saved(16 * CHUNK))
            assert process.poll() is None, process.stderr and process.stderr.read()
            process.kill()
            process.wait()

    def has_saved(self, offset: int) -> bool:
        return any(f'\\"offset\\":{offset}' in path.read_text() for path in self.state_files())

    def store(self, files: Mapping[str, bytes]) -> None:
        async def put() -> None:
            async with open_storage(self.target) as storage:
                for path, data in files.items():
                    await storage.put_content(path, data)

        asyncio.run(put())

    def stored(self) -> dict[str, bytes]:
        async def read() -> dict[str, bytes]:
            async with open_storage(self.target) as storage:
                return {
                    info.path: await storage.get_content(info.path)
                    async for info in storage.walk("/")
                }

        return asyncio.run(read())

    def uploads(self) -> list[UploadInfo]:
        async def find() -> list[UploadInfo]:
            async with open_storage(self.target) as storage:
                return [info async for info in storage.list_uploads()]

        return asyncio.run(find())

    def state_files(self) -> list[Path]:
        return [path for path in self.states.glob("*") if path.suffix != ".part"]


@pytest.fixture
def shell(tmp_path: Path, site: Site) -> Shell:
    site.install("drip-driver", "from storagedriver_core.tests.drip_plugin import *\n")
    return Shell(tmp_path, site.folder)


def test_killed_copy_shows_nothing_and_goes_on_from_its_last_checkpoint(shell: Shell) -> None:
    shell.begin_copy_and_kill()
    assert shell.stored() == {}
    (state,) = shell.state_files()
    assert state.stat().st_mode & 0o077 == 0
    shell.drip()
    assert "1.0 MiB copied" in shell.run(*shell.copy())
    assert shell.log.read_text().split() == ["0", str(16 * CHUNK)]
    assert shell.stored() == {"/copy": content("one")}
    assert shell.state_files() == []
    assert shell.uploads() == []
    assert "unchanged" in shell.run(*shell.copy())


def test_copy_of_a_source_that_changed_meanwhile_begins_again(shell: Shell) -> None:
    shell.begin_copy_and_kill()
    shell.drip(etag="two")
    assert "2.0 MiB copied" in shell.run(*shell.copy())
    assert shell.stored() == {"/copy": content("two")}
    assert shell.uploads() == []


def test_directory_is_copied_whole_and_a_second_time_not_at_all(shell: Shell) -> None:
    files = {"/a/one": b"1", "/a/b/two": b"22"}
    shell.store(files)
    copy = ["cp", "-r", f"{shell.target}:/a", f"{shell.target}:/c", "--json"]
    assert shell.run(*copy).count('"unchanged": false') == 2
    assert shell.stored() == {**files, "/c/one": b"1", "/c/b/two": b"22"}
    assert shell.run(*copy).count('"unchanged": true') == 2


def test_interrupted_get_leaves_nothing_and_ends_with_130(shell: Shell) -> None:
    shell.drip(wait_at=WAIT_AT)
    place = shell.folder / "place"
    place.mkdir()
    with shell.started("get", "/big", str(place), "-c", str(shell.source)) as process:
        wait_until(lambda: any(place.iterdir()))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, b"")
    assert list(place.iterdir()) == []


def test_interrupted_put_stores_nothing_and_ends_with_130(shell: Shell) -> None:
    with shell.started("put", "-", "/half", "-c", str(shell.target)) as process:
        assert process.stdin is not None
        process.stdin.write(b"data")
        process.stdin.flush()
        wait_until(shell.root.exists)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert process.returncode == 130
    assert shell.stored() == {}
    assert shell.uploads() == []


@pytest.mark.parametrize("verb", [["cat", "/big"], ["ls", "-r", "/"]])
def test_closed_pipe_ends_the_command_quietly(verb: list[str], shell: Shell) -> None:
    shell.drip()
    with shell.started(*verb, "-c", str(shell.source)) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(timeout=30)
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("verb", "closing", "name"),
    [
        (["put", "-", "/a"], "<&-", "standard input"),
        (["cat", "/a"], ">&-", "standard output"),
    ],
)
def test_closed_standard_stream_is_an_error_of_one_line(
    verb: list[str], closing: str, name: str, shell: Shell
) -> None:
    command = [sys.executable, "-c", MAIN, *verb, "-c", str(shell.target)]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closing}', "sh", *command],
        env=shell.environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, f"error: {name}: Bad file descriptor\n")


def test_progress_shows_on_a_terminal_only(shell: Shell) -> None:
    shell.drip()
    terminal, side = os.openpty()
    target = shell.folder / "fetched"
    command = [sys.executable, "-c", MAIN, "get", "/big", str(target), "-c", str(shell.source)]
    done = subprocess.run(command, stderr=side, env=shell.environment)
    os.close(side)
    shown = os.read(terminal, 65536)
    os.close(terminal)
    assert done.returncode == 0
    assert b"/big" in shown
    assert target.read_bytes() == content("one")
