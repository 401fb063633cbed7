"""`dist` in any shell: closed streams, readers that go, names with anything in them, full disks."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from storagedriver_registry.client.commands import starting

from registry.tests.client import OCI_MANIFEST
from registry.tests.dist import DIST, PATIENCE, Layout, dist, dist_json
from registry.tests.processes import ServerProcess

pytestmark = pytest.mark.usefixtures("home")

_EVIL = "v1\x1b[2J\n\u202e\udcff"


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout = Layout(tmp_path / "image")
    layout.name(layout.image(1000, 2_000_000), "v1")
    return "oci:image:v1"


def in_shell(redirections: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with redirections as the shell has them."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirections}', DIST, *arguments],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


# Streams ---------------------------------------------------------------------------------------


def test_closed_streams_are_no_reason_to_fail(server: ServerProcess, image: str) -> None:
    name = f"{server.host}/closed/a:v1"
    assert in_shell("<&- >&- 2>&-", "push", image, name).returncode == 0
    assert in_shell(">&-", "inspect", name, "--json").returncode == 0
    done = in_shell("2>&-", "inspect", name, "--raw")
    assert (done.returncode, json.loads(done.stdout)["mediaType"]) == (0, OCI_MANIFEST)
    assert in_shell(">&- 2>&-", "inspect", f"{server.host}/closed/none").returncode == 3


@pytest.mark.parametrize("arguments", [("tags", "oci:image"), ("inspect", "oci:image", "--raw")])
def test_reader_that_has_gone_is_told_nothing(image: str, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [DIST, *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [("tags", "oci:image"), ("inspect", "oci:image", "--raw")])
def test_output_that_is_not_taken_is_an_error(image: str, arguments: tuple[str, ...]) -> None:
    done = in_shell(">/dev/full", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(b"dist: ")
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_interrupt_at_the_very_beginning_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gc, "disable", interrupt)
    with pytest.raises(SystemExit) as caught:
        starting.main()
    assert caught.value.code == 130


def test_interrupt_while_modules_are_imported_is_the_end_without_a_traceback() -> None:
    code = """
import os, signal, sys, storagedriver_registry.dist

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
storagedriver_registry.dist.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
    # Who began it in the background does not want it to be interrupted.
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0


# Names -----------------------------------------------------------------------------------------


def test_terminal_obeys_nothing_that_others_have_written(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "image")
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": f"a/{_EVIL}",
        "config": layout.add(b"{}", f"a/{_EVIL}"),
        "layers": [layout.add(b"x", f"b/{_EVIL}")],
    }
    layout.name(layout.add(json.dumps(manifest).encode(), OCI_MANIFEST), _EVIL)
    for arguments, code in (
        (("tags", "oci:image"), 0),
        (("inspect", "oci:image"), 0),
        (("inspect", "oci:image:none"), 3),
    ):
        said = dist(*arguments, code=code)
        assert r"\x1b[2J\n\u202e\udcff" in said
        assert all(each.isprintable() for each in said.replace("\n", ""))
    assert dist_json("tags", "oci:image") == [_EVIL]


def test_any_name_of_a_file_will_do(image: str, tmp_path: Path) -> None:
    for name in (b"\xc3\xa9 \xe2\x82\xac", b"\xff\xfe"):
        done = subprocess.run(
            [DIST, "copy", image, b"oci:" + name + b":v1"],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
        )
        assert done.returncode == 0, done.stderr
        assert Path(tmp_path, os.fsdecode(name), "index.json").exists()
    assert done.stdout.startswith(rb"oci:\udcff\udcfe:v1  sha256:")


@pytest.mark.parametrize(
    "arguments",
    [
        ("catalog", "bad host"),
        ("catalog", "http://r.example"),
        ("login", "r.example/a", "-u", "a", "--password-stdin"),
        ("inspect", "oci:image:"),
        ("inspect", "oci:"),
        ("inspect", "a" * 100_000),
    ],
)
def test_what_can_be_no_name_is_wrong_usage(image: str, arguments: tuple[str, ...]) -> None:
    assert len(dist(*arguments, code=2, text="password")) < 2000


# Passwords -------------------------------------------------------------------------------------


def test_password_that_nobody_can_be_asked_for_is_wrong_usage() -> None:
    assert "--password-stdin" in dist("login", "r.example", code=2)
    assert "--password-stdin" in dist("login", "r.example", "--username", "a", code=2)
    assert in_shell("<&-", "login", "r.example", "-u", "a", "--password-stdin").returncode == 2


def test_password_is_not_read_from_a_pipe_unless_that_is_said() -> None:
    done = subprocess.run(
        [DIST, "login", "127.0.0.1:1", "--username", "a"],
        input=b"password\n",
        capture_output=True,
        timeout=PATIENCE,
        start_new_session=True,  # so that there is no terminal to ask at
        check=False,
    )
    assert done.returncode == 2
    assert b"--password-stdin" in done.stderr
    assert b"Warning" not in done.stderr


def test_interrupt_at_the_password_is_one() -> None:
    leader, follower = os.openpty()

    def take_the_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [DIST, "login", "127.0.0.1:1", "--username", "alice"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=take_the_terminal,
    )
    os.close(follower)
    said = b""
    while b"Password" not in said:
        said += os.read(leader, 1000)
    os.write(leader, b"\x03")
    assert process.wait(PATIENCE) == 130
    os.close(leader)


# Disks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["oci:full:v1", "oci-archive:full:v1"])
def test_disk_that_is_full_is_told_with_the_file(image: str, tmp_path: Path, target: str) -> None:
    # As many blocks of 512 bytes: the second layer is larger.
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 1000; exec "$0" "$@"', DIST, "copy", image, target],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert b"File too large: 'full" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not list(tmp_path.rglob("full*/.partial"))
    # It goes on where there is room.
    done = dist_json("copy", image, target)
    assert (done["copied"], done["present"]) == (1, 2)
    assert dist_json("verify", target)["wrong"] == []
