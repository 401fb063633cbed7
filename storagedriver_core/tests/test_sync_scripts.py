"""How scripts with a `SyncStorage` end, and what an interrupt (Ctrl-C) leaves of their work."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from storagedriver_core import SyncStorage
from storagedriver_core.tests.sync_scripts import MIB, storage_at

SECONDS = 60.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with SyncStorage(storage_at(tmp_path)) as storage:
        storage.put_content("/big", iter([bytes(MIB)] * 4))
    return tmp_path


@contextmanager
def started(name: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "storagedriver_core.tests.sync_scripts", name, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background with SIGINT ignored, and so would be these.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Give the exit status and what it complained of; standard input stays open until then."""
    assert process.stderr is not None
    return process.wait(SECONDS), process.stderr.read()


def files(root: Path) -> list[str]:
    with SyncStorage(storage_at(root)) as storage:
        return [info.path for info in storage.walk("/")]


def staged(root: Path) -> list[Path]:
    return list((root / ".storagedriver" / "uploads").glob("*"))


@pytest.mark.parametrize("name", ["used", "streams", "in_another_thread"])
def test_script_that_closes_nothing_ends_in_silence(name: str, root: Path) -> None:
    with started(name, root) as process:
        assert end_of(process) == (0, "")
    assert files(root) == (["/a", "/big"] if name == "used" else ["/big"])
    # What it had begun is no one's now.
    with SyncStorage(storage_at(root)) as storage:
        storage.purge_uploads(older_than=timedelta(0))
    assert staged(root) == []


def test_script_that_fails_leaves_nothing_half_written(root: Path) -> None:
    with started("failed", root) as process:
        status, complaint = end_of(process)
    assert (status, complaint.splitlines()[-1]) == (1, "KeyError: 'something else'")
    assert (files(root), staged(root)) == (["/big"], [])


@pytest.mark.parametrize(("name", "where"), [("copy", "copy"), ("put", "body"), ("write", "body")])
def test_interrupted_script_leaves_nothing_half_written(name: str, where: str, root: Path) -> None:
    with started(name, root) as process:
        assert said(process) == where
        process.send_signal(signal.SIGINT)
        status, complaint = end_of(process)
    assert (status, complaint.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
    assert (files(root), staged(root)) == (["/big"], [])


def test_second_interrupt_does_not_wait_for_the_clean_up(root: Path) -> None:
    with started("clean_up", root) as process:
        assert said(process) == "copy"
        process.send_signal(signal.SIGINT)
        assert said(process) == "clean-up"
        process.send_signal(signal.SIGINT)
        status, _ = end_of(process)
    assert status == -signal.SIGINT
    assert files(root) == ["/big"]
