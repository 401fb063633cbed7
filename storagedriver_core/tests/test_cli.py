from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

from storagedriver_core._plugins import PluginRegistry, load_plugins
from storagedriver_core._sizes import size_of
from storagedriver_core.cli._app import main as run_main
from storagedriver_core.cli._app import make_app
from storagedriver_core.cli._state import Address, KeptState
from storagedriver_core.hookspecs import CORE_COMMANDS
from storagedriver_core.tests.conftest import Site


class Done(NamedTuple):
    code: int
    out: bytes
    error: str


class Command:
    """Runs `storagedriver` in this process, on a filesystem storage of its own."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]
    ) -> None:
        self.folder = folder
        self.root = folder / "store"
        self.config = folder / "storage.yml"
        self.config.write_text(
            f"storage:\n  driver: filesystem\n  parameters: {{root_directory: {self.root}}}\n"
        )
        self._monkeypatch = monkeypatch
        self._capture = capture

    def __call__(self, *arguments: str) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["storagedriver", *arguments])
        self._capture.readouterr()
        with pytest.raises(SystemExit) as caught:
            run_main()
        out, error = self._capture.readouterr()
        return Done(int(caught.value.code or 0), out, error.decode())

    def ok(self, *arguments: str) -> bytes:
        """Run, and give what it printed; it has to succeed."""
        done = self(*arguments)
        assert (done.code, done.error) == (0, "")
        return done.out

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)


@pytest.fixture
def command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Command:
    made = Command(tmp_path, monkeypatch, capfdbinary)
    monkeypatch.setenv("STORAGEDRIVER_CONFIG", str(made.config))
    return made


def test_put_cat_and_get_give_the_same_bytes(command: Command) -> None:
    data = os.urandom(3_000_000)
    command.ok("put", command.file("blob", data), "/a/blob")
    assert command.ok("cat", "/a/blob") == data
    assert command.ok("cat", "/a/blob", "--offset", "10", "--length", "5") == data[10:15]
    command.ok("get", "/a/blob", str(command.folder / "copy"))
    assert (command.folder / "copy").read_bytes() == data
    (command.folder / "into").mkdir()
    command.ok("get", "/a/blob", str(command.folder / "into"))
    assert [path.name for path in (command.folder / "into").iterdir()] == ["blob"]


def test_put_refuses_another_digest_and_keeps_what_was_there(command: Command) -> None:
    name = command.file("blob", b"new")
    right = "sha256:" + hashlib.sha256(b"old").hexdigest()
    command.ok("put", command.file("old", b"old"), "/a", "--digest", right)
    done = command("put", name, "/a", "--digest", right)
    assert done.code == 1
    assert command.ok("cat", "/a") == b"old"


def test_get_that_fails_leaves_the_local_file_alone(command: Command) -> None:
    name = command.file("local", b"old")
    assert command("get", "/missing", name).code == 1
    assert Path(name).read_bytes() == b"old"
    assert sorted(path.name for path in command.folder.iterdir()) == [
        "local",
        "storage.yml",
        "store",
    ]


def test_get_names_the_local_file_that_cannot_be_written(command: Command) -> None:
    command.ok("put", command.file("blob", b"data"), "/a")
    for name, why in ("/dev/full", "No space left on device"), ("/no/dir", "No such file"):
        assert command("get", "/a", name).error.startswith(f"error: {name}: {why}")


def test_ls_of_a_file_lists_it(command: Command) -> None:
    command.ok("put", command.file("blob", b"data"), "/a/b")
    assert command.ok("ls", "/a/b") == command.ok("ls", "-r", "/a/b") == command.ok("ls", "/a")
    assert command("ls", "/b").error == "error: filesystem list /b: not found\n"


def test_get_writes_to_a_device_and_does_not_replace_it(command: Command) -> None:
    command.ok("put", command.file("blob", b"data"), "/a")
    command.ok("get", "/a", "/dev/null")
    assert Path("/dev/null").is_char_device()


def test_ls_stat_and_du_tell_sizes(command: Command) -> None:
    command.ok("put", command.file("one", b"1"), "/a/one")
    command.ok("put", command.file("two", b"22"), "/a/b/two")
    assert [line.split()[-1] for line in command.ok("ls", "/a").decode().splitlines()] == [
        "/a/b/",
        "/a/one",
    ]
    listed = [json.loads(line) for line in command.ok("ls", "-r", "--json").splitlines()]
    assert [(one["path"], one["size"]) for one in listed] == [("/a/b/two", 2), ("/a/one", 1)]
    assert b"size: 2\n" in command.ok("stat", "/a/b/two")
    assert json.loads(command.ok("stat", "/a", "--json"))["is_dir"] is True
    assert json.loads(command.ok("du", "--json")) == {"path": "/", "size": 3, "files": 2}
    assert command.ok("du", "/a/one") == b"1  (1 B in 1 files)  /a/one\n"


def test_control_characters_of_a_path_do_not_reach_the_terminal(command: Command) -> None:
    command.ok("put", command.file("one", b"1"), "/a\x1b[2Jb")
    assert b"\x1b" not in command.ok("ls")


def test_mv_moves_and_rm_deletes(command: Command) -> None:
    command.ok("put", command.file("one", b"1"), "/a/one")
    command.ok("mv", "/a/one", "/b/two")
    assert command("stat", "/a/one").code == 1
    assert "only a recursive delete" in command("rm", "/b").error
    command.ok("rm", "-r", "/b")
    assert command("rm", "/b").code == 1
    command.ok("rm", "-f", "/b")
    refused = command("rm", "-r", "/")
    assert refused.code == 2 and "--everything" in refused.error
    command.ok("rm", "-r", "--everything", "/")


def test_uploads_are_listed_and_purged(command: Command) -> None:
    begin = (
        "import asyncio, sys\n"
        "from storagedriver_core import open_storage\n"
        "async def main():\n"
        "    async with open_storage(sys.argv[1]) as storage:\n"
        "        writer = await storage.writer('/half')\n"
        "        await writer.write(b'data')\n"
        "        await writer.suspend()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", begin, str(command.config)], check=True)
    (listed,) = command.ok("uploads", "list", "--json").splitlines()
    assert json.loads(listed)["path"] == "/half"
    assert command.ok("uploads", "purge", "--older-than", "24h") == b""
    assert b"/half" in command.ok("uploads", "purge", "--older-than", "0s", "--dry-run")
    assert b"/half" in command.ok("uploads", "list")
    assert b"/half" in command.ok("uploads", "purge", "--older-than", "0s")
    assert command.ok("uploads", "list") == b""


@pytest.mark.parametrize(
    "age", ["", "24", "h", "1w", "-1h", "1.5h", "999999d", "9" * 9 + "d", "9" * 20 + "d"]
)
def test_age_of_a_purge_is_never_guessed(age: str, command: Command) -> None:
    done = command("uploads", "purge", "--older-than", age)
    assert done.code == 2
    assert "is no age such as 30m, 24h or 7d" in done.error


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["cat", "/missing"], 1, "error: filesystem reader /missing: not found\n"),
        (["cat", "/"], 1, "error: filesystem reader /: it is the root directory\n"),
        (["cat", "/a", "--offset", "-1"], 1, "error: filesystem reader /a: -1 is negative\n"),
        (["put", "/not/there", "/a"], 1, "error: /not/there: No such file or directory\n"),
        (["ls", "-c", "/no.yml"], 2, "error: /no.yml: No such file or directory\n"),
        (["cat", "relative"], 1, "error: filesystem reader relative: a path is absolute"),
        (["cp", "/a", "/b"], 1, "error: filesystem stat /a: not found\n"),
        (["config", "schema", "nope"], 2, "error: unknown driver 'nope'"),
        (["nope"], 2, "No such command"),
        (["ls", "--nope"], 2, "No such option"),
        (["cat"], 2, "Missing argument"),
    ],
)
def test_errors_are_one_line_with_a_documented_code(
    arguments: list[str], code: int, error: str, command: Command
) -> None:
    done = command(*arguments)
    assert done.code == code
    assert error in done.error
    assert "Traceback" not in done.error
    assert done.out == b""


def test_version_is_printed(command: Command) -> None:
    assert command.ok("--version").decode() == f"storagedriver {version('storagedriver-core')}\n"


def test_config_is_checked_and_shown_and_its_secrets_are_not(command: Command, site: Site) -> None:
    site.install("demo-driver", "from storagedriver_core.tests.demo_plugin import *\n")
    file = command.folder / "demo.yml"
    file.write_text(
        "storage:\n  driver: demo\n  parameters: {root_directory: /x, secret_key: hidden-word}\n"
    )
    shown = command.ok("config", "show", str(file))
    assert b"root_directory: /x" in shown
    effective = command.ok("config", "show", "--effective", str(file))
    assert re.search(rb'^storage.parameters.region: "here" +# default$', effective, re.MULTILINE)
    assert b"demo.yml:3" in effective
    as_json = command.ok("config", "show", "--effective", "--json", str(file))
    assert {"key": "storage.driver", "value": "demo", "origin": f"{file}:2"} in json.loads(as_json)
    assert b"hidden-word" not in shown + effective + as_json
    assert json.loads(command.ok("config", "schema", "demo"))["required"] == ["storage"]


def test_config_check_finds_faults_without_touching_the_store(command: Command) -> None:
    assert b"no faults" in command.ok("config", "check")
    assert not command.root.exists()
    command.config.write_text(command.config.read_text().replace("root_directory", "rootdirectry"))
    done = command("config", "check")
    assert done.code == 2
    assert "storage.yml:3: storage.parameters.rootdirectry: unknown key" in done.error


def test_drivers_names_packages(command: Command) -> None:
    listed = command.ok("drivers", "--json")
    found = {one["name"]: one["distribution"] for one in json.loads(listed)["drivers"]}
    assert found["inmemory"] == "storagedriver-inmemory"


def test_commands_of_the_missing_testsuite_say_what_to_install(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storagedriver_core.cli._app.load_plugins", without_commands)
    for name in ("conformance", "bench"):
        done = command(name, "filesystem", "-c", "x.yml", "--help")
        assert done.code == 2
        assert "pip install storagedriver-testsuite" in done.error


def without_commands() -> PluginRegistry:
    return dataclasses.replace(load_plugins(), commands={}, problems=())


@pytest.mark.parametrize(
    ("text", "config", "path"),
    [
        ("/a/b", "default.yml", "/a/b"),
        ("x.yml:/a", "x.yml", "/a"),
        ("/etc/x.yml:/a", "/etc/x.yml", "/a"),
        ("x.yml:/a:/b", "x.yml", "/a:/b"),
        ("relative", "default.yml", "relative"),
    ],
)
def test_address_is_a_configuration_and_a_path(text: str, config: str, path: str) -> None:
    assert Address.parse(text, Path("default.yml")) == Address(Path(config), path)


def test_copy_begins_anew_where_its_state_was_spoilt(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(command.folder))
    kept = KeptState(Address(command.config, "/a"), Address(command.config, "/b"))
    kept.save("state")
    (file,) = (command.folder / "storagedriver" / "copies").iterdir()
    file.write_bytes(b"\xff\xfe")
    command.ok("put", command.file("local", b"data"), "/a")
    command.ok("cp", "/a", "/b")
    assert command.ok("cat", "/b") == b"data"
    assert not file.exists()


def test_names_of_the_core_are_all_reserved() -> None:
    app = make_app(load_plugins())
    names = {
        entry.name or entry.callback.__name__ for entry in app.registered_commands if entry.callback
    } | {group.name for group in app.registered_groups}
    extras = {"bench", "conformance", "new"} | set(load_plugins().commands)
    assert names - extras == set(CORE_COMMANDS)


def test_sizes_are_spelt_for_people() -> None:
    assert [size_of(size) for size in (0, 1023, 1024, 5 * 1024**4)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 TiB",
    ]
