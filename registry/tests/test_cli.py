"""The `registry` command."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
import yaml

from registry.tests.processes import REGISTRY, ServerProcess, free_port


def registry(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REGISTRY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    def write(root: Path = tmp_path / "data", port: int = 0) -> Path:
        path = tmp_path / "config.yml"
        sections = {
            "storage": {"filesystem": {"rootdirectory": str(root)}},
            "http": {"addr": f"127.0.0.1:{port or free_port()}"},
        }
        path.write_text(yaml.safe_dump(sections))
        return path

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [("htp: {}", "unknown key 'htp'"), ("log: {}", "the key of a driver is required")],
)
def test_wrong_configuration_is_told_without_a_traceback(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    done = registry("serve", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_configuration_is_told(tmp_path: Path) -> None:
    done = registry("serve", tmp_path / "none.yml")
    assert done.returncode == 1
    assert "none.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_storage_that_cannot_be_opened_is_told(config: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = registry("serve", config(tmp_path / "file"))
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--version", "-v"])
def test_version_is_told(option: str) -> None:
    done = registry(option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"registry {version('storagedriver-registry')}\n"


@pytest.mark.parametrize(
    "command",
    [("garbage-collect",), ("uploads", "list"), ("uploads", "purge"), ("referrers", "rebuild")],
)
def test_variable_names_the_configuration(
    config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", str(config()))
    done = registry(*command)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shared", [False, True])
def test_address_in_use_is_told(config: Callable[..., Path], shared: bool) -> None:
    with socket.socket() as taken:
        # As servers do that share the port with their own kind.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = registry("serve", config(port=port))
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("level", "shown"), [("info", True), ("warn", False)])
def test_requests_are_logged_from_info_on(
    start_server: Callable[..., ServerProcess], level: str, shown: bool
) -> None:
    server = start_server({"log": {"level": level}})
    httpx.get(f"{server.url}/v2/a/tags/list")
    assert server.stop() == 0
    assert ("http.request.uri=/v2/a/tags/list" in server.log) == shown
    assert f"serving {server.url}/v2/" in server.log
