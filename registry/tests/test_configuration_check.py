"""`registry config check`, and what a server says of its configuration at the start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from storagedriver_registry.cli import app
from typer.testing import CliRunner, Result

from registry.tests.processes import REGISTRY, ServerProcess, free_port, running

TEXT = """\
version: 0.1
storage:
  filesystem: { rootdirectory: %s }
http:
  secret: confidential
  draintimeout: 1m30s
log:
  hooks: [ { type: mail } ]
"""


def check(path: Path, **variables: str) -> Result:
    return CliRunner().invoke(app, ["config", "check", str(path)], env=variables)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(TEXT % (tmp_path / "data"))
    return path


def test_every_value_is_printed_with_its_origin(config: Path) -> None:
    done = check(config, REGISTRY_HTTP_ADDR="127.0.0.1:7000", REGISTRY_PORT="tcp://10.0.0.1")
    assert done.exit_code == 0
    listed = {line.split(": ", 1)[0]: line for line in done.stdout.splitlines()}

    def row(key: str) -> tuple[str, str]:
        value, _, origin = listed[key].partition("  # ")
        return value.partition(": ")[2].strip(), origin

    assert row("storage.filesystem.root_directory") == (
        f'"{config.parent}/data"',
        f"{config}:3",
    )
    assert row("http.draintimeout") == ('"1m30s"', f"{config}:6")
    assert row("http.secret") == ('"**********"', f"{config}:5")
    assert row("http.addr") == ('"127.0.0.1:7000"', "environment variable REGISTRY_HTTP_ADDR")
    assert row("http.prefix") == ('"/"', "default")
    assert row("log.hooks.0.type") == ('"mail"', f"{config}:8, not acted on")
    # What is not acted on has no default that is in force, and these are no keys with values.
    assert not {"proxy.remotenamespace", "storage.filesystem", "loglevel"} & set(listed)
    assert done.stderr.splitlines() == [
        f"warning: {config}:8: log.hooks: not acted on: no mail is sent; "
        "that is work for whoever collects the log",
        "warning: environment variable REGISTRY_PORT names no key",
    ]
    assert "confidential" not in done.output
    assert not (config.parent / "data").exists()


def test_password_in_a_url_is_hidden(config: Path) -> None:
    config.write_text(
        "storage: inmemory\nhealth: { http: [ { uri: 'https://me:confidential@a.example' } ] }"
    )
    assert '"https://**********@a.example"' in check(config).stdout


def test_name_is_printed_as_it_is_written(config: Path) -> None:
    config.write_text("storage: { filesystem: { rootdirectory: '/srv/Dépôt à moi' } }")
    assert 'storage.filesystem.root_directory: "/srv/Dépôt à moi"' in check(config).stdout


def test_file_can_be_named_by_a_variable(config: Path) -> None:
    environment = {"REGISTRY_CONFIGURATION_PATH": str(config)}
    done = CliRunner().invoke(app, ["config", "check"], env=environment)
    assert (done.exit_code, f"# {config}:3" in done.stdout) == (0, True)
    config.unlink()
    done = CliRunner().invoke(app, ["serve"], env=environment)
    assert (done.exit_code, done.stderr) == (1, f"{config}: No such file or directory\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("htp: {}", ":1: htp: unknown key 'htp' (did you mean 'http'?)"),
        ("log: {}", "/config.yml: storage: the key of a driver is required, one of: azure, "),
        (
            "storage: { inmemory: {}, capabilities: { local_path: true } }",
            ":1: storage.capabilities: ",
        ),
        ("storage: inmemory\nproxy: { remoteurl: 'ftp://a.example' }", "proxy.remoteurl: "),
        ("storage: { inmemory: {}, cache: { blobdescriptor: redis } }", "redis: an address is "),
    ],
)
def test_what_is_wrong_is_told_with_a_status(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    done = check(config)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr


def test_server_says_at_the_start_what_it_does_not_act_on(config: Path) -> None:
    port, folder = free_port(), config.parent
    text = config.read_text().replace("http:\n", f"http:\n  addr: 127.0.0.1:{port}\n")
    config.write_text(f"{text}  level: debug\n")
    server = ServerProcess(
        [REGISTRY, "serve", str(config)], port, folder / "data", folder / "registry.log"
    )
    with running(server):
        assert server.stop() == 0
    (line,) = [line for line in server.log.splitlines() if "not acted on" in line]
    assert f"{config}:9: log.hooks: not acted on: no mail is sent" in line
    assert "level=warning" in line
    # What the server below believes of itself: an address that it does not listen at.
    assert "127.0.0.1:8000" not in server.log


@pytest.mark.service("docker-registry")
def test_configuration_of_the_debian_package_starts_unchanged(
    program: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables move what lies outside of the test's folder into it, and nothing else."""
    config = Path(program("docker-registry")).parents[1] / "apt/etc/docker/registry/config.yml"
    port = free_port()
    # The package names a directory as the password file, and so does this.
    monkeypatch.setenv("REGISTRY_AUTH_HTPASSWD_PATH", str(tmp_path))
    monkeypatch.setenv("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("REGISTRY_HTTP_ADDR", f"127.0.0.1:{port}")
    server = ServerProcess(
        [REGISTRY, "serve", str(config)], port, tmp_path / "data", tmp_path / "registry.log"
    )
    with running(server):
        answer = httpx.get(f"{server.url}/v2/")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="basic-realm"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert server.stop() == 0
    assert "service=registry" in server.log


def test_endpoint_without_a_url_is_an_error(config: Path) -> None:
    config.write_text(config.read_text() + "notifications: { endpoints: [ { name: a } ] }\n")
    done = check(config)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "notifications.endpoints.0.url: a URL of http or https is required" in done.stderr
