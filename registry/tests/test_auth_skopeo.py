"""skopeo logs in, pushes and pulls, with a password file and with a token server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from registry.tests.authentication import TokenServerProcess, write_users
from registry.tests.images import Images
from registry.tests.processes import ServerProcess, our_server, running

pytestmark = [pytest.mark.service("skopeo", "umoci")]

ALICE = ("alice", "wonderland")
BOB = ("bob", "builder")
POLICY = {
    "users": {
        "alice": {"**": ["pull", "push", "delete"]},
        "bob": {"bobs/**": ["pull", "push"]},
    },
}


class Client:
    """skopeo, with a home of its own: who is logged in, and where it has seen which blob."""

    def __init__(self, skopeo: str, folder: Path) -> None:
        folder.mkdir()
        self._skopeo = skopeo
        self._environment = os.environ | {
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_RUNTIME_DIR": str(folder),
            "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
        }

    def run(self, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._skopeo, *arguments],
            input=password,
            capture_output=True,
            text=True,
            timeout=120,
            env=self._environment,
        )

    def login(self, host: str, who: tuple[str, str]) -> bool:
        plain = ("--tls-verify=false", "--username", who[0], "--password-stdin")
        return self.run("login", *plain, host, password=who[1]).returncode == 0

    def copy(self, source: str, target: str) -> str:
        """Copy; give what it said if it failed."""
        plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
        done = self.run("copy", "--quiet", *plain, source, target)
        return done.stderr if done.returncode else ""


@pytest.fixture
def client(program: Callable[[str], str], tmp_path: Path) -> Client:
    return Client(program("skopeo"), tmp_path / "home")


@pytest.fixture(scope="module", params=["htpasswd", "jwks", "rootcertbundle"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A registry with a password file; or with a token server, by either of its files."""
    folder = tmp_path_factory.mktemp("registry")
    users = write_users(folder / "users", dict([ALICE, BOB]))
    if request.param == "htpasswd":
        auth = {"htpasswd": {"realm": "r", "path": str(users)}}
        with running(our_server(folder, {"auth": auth})) as server:
            yield server
        return
    settings = {
        "policy": POLICY,
        "algorithm": "ES256" if request.param == "jwks" else "RS256",
        "key_id": "thumbprint" if request.param == "jwks" else "libtrust",
    }
    with running(TokenServerProcess(folder, settings)) as tokens:
        file = folder / ("keys.json" if request.param == "jwks" else "key.crt")
        auth = {"token": tokens.options(**{request.param: str(file)})}
        with running(our_server(folder, {"auth": auth})) as server:
            yield server


def test_login_push_pull_list_delete(
    server: ServerProcess, client: Client, images: Images, tmp_path: Path
) -> None:
    image = images.make("image", (1, 100_000))
    remote = f"docker://{server.host}/team/image:v1"
    assert is_refusal(client.copy(image, remote))
    assert not client.login(server.host, ("alice", "wrong"))
    assert client.login(server.host, ALICE)
    assert client.copy(image, remote) == ""
    back = f"dir:{tmp_path / 'back'}"
    assert client.copy(remote, back) == ""
    assert images.digest(back) == images.digest(image)
    plain = "--tls-verify=false"
    listed = client.run("list-tags", plain, f"docker://{server.host}/team/image")
    assert json.loads(listed.stdout)["Tags"] == ["v1"]
    assert client.run("delete", plain, remote).returncode == 0
    assert client.run("inspect", plain, remote).returncode != 0
    assert client.run("logout", server.host).returncode == 0
    assert is_refusal(client.copy(remote, f"dir:{tmp_path / 'more'}"))


def test_layers_that_the_client_knows_from_elsewhere(
    server: ServerProcess, client: Client, images: Images
) -> None:
    """It asks to mount them, and sends them where it may not."""
    image = images.make("image", (1, 100_000))
    first = f"docker://{server.host}/alices/image:v1"
    assert client.login(server.host, ALICE)
    assert client.copy(image, first) == ""
    again = f"docker://{server.host}/alices/again:v1"
    assert client.copy(image, again) == ""
    assert client.login(server.host, BOB)
    other = f"docker://{server.host}/bobs/image:v1"
    assert client.copy(image, other) == ""
    with httpx.Client(base_url=server.url) as http:
        challenge = http.get("/v2/").headers["www-authenticate"]
    if challenge.startswith("Bearer"):
        forbidden = client.copy(first, f"docker://{server.host}/bobs/stolen:v1")
        assert is_refusal(forbidden)
    assert images_digest(client, other) == images.digest(image)


def is_refusal(message: str) -> bool:
    """Tell whether this is how it says that the registry, or the token server, wants a password."""
    words = ("authentication required", "unauthorized", "access to the resource is denied")
    return any(word in message for word in words)


def images_digest(client: Client, image: str) -> str:
    shown = client.run("inspect", "--tls-verify=false", image, "--format", "{{.Digest}}")
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.strip()
