"""One server takes the place of the other: on its port, its store and its configuration."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from registry.tests.authentication import write_users
from registry.tests.client import Repository, sha256
from registry.tests.counting import counting
from registry.tests.images import Images
from registry.tests.interchange import Section, client, is_unknown_upload
from registry.tests.processes import (
    REGISTRY,
    ServerProcess,
    docker_registry,
    free_port,
    our_server,
    running,
)
from registry.tests.serving import eventually

pytestmark = [pytest.mark.service("docker-registry", "skopeo", "umoci")]

MIB = 1024 * 1024
ALICE = ("alice", "wonderland")
ORDERS = ["ours then theirs", "theirs then ours"]

Pair = tuple[ServerProcess, ServerProcess]


def in_turn(program: str, folder: Path, order: str, section: Section) -> Pair:
    """Give two servers for one port, not started."""
    port = free_port()
    ours = our_server(folder, store=section, port=port)
    theirs = docker_registry(program, folder, store=section, port=port)
    return (ours, theirs) if order == "ours then theirs" else (theirs, ours)


@pytest.mark.parametrize("order", ORDERS)
def test_upload_ends_with_its_server_and_is_begun_anew(
    program: Callable[[str], str],
    tmp_path: Path,
    new_section: Callable[[], Section],
    order: str,
) -> None:
    first, second = in_turn(program("docker-registry"), tmp_path, order, new_section())
    whole = b"0123456789" * 100_000
    with client(first) as http, running(first):
        repository = Repository(http, "switch/ed")
        location = repository.location(repository.patch(repository.begin(), whole[:500_000]))
    with client(second) as http, running(second):
        repository = Repository(http, "switch/ed")
        rest = whole[500_000:]
        for answer in (
            http.get(location),
            repository.patch(location, rest, "500000-999999"),
            repository.finish(location, sha256(whole), rest),
        ):
            assert is_unknown_upload(second, answer), answer.text
        assert repository.blob(repository.push_blob(whole)).content == whole


@pytest.mark.parametrize("order", ORDERS)
def test_skopeo_pushes_anew_where_the_other_server_was_killed(
    program: Callable[[str], str], tmp_path: Path, images: Images, order: str
) -> None:
    first, second = in_turn(program("docker-registry"), tmp_path, order, None)
    image = images.make("image", (1, 48 * MIB))
    remote = f"docker://{first.host}/switch/image:v1"
    with running(first), counting(first.host) as proxy:
        # So that the push is not over before the server is killed.
        proxy.hold_after(8 * MIB)
        halted = f"docker://{proxy.host}/switch/image:v1"
        command = images.copy_command(image, halted, "--retry-times", "0")
        push = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        proxy.wait_until_held()
        eventually(lambda: uploaded_bytes(first.data), lambda found: found >= MIB)
        first.kill()
        proxy.release()
        assert push.wait() != 0
    with running(second):
        images.copy(image, remote)
        back = images.pulled(remote, "back")
        assert images.digest(back) == images.digest(image)


def uploaded_bytes(data: Path) -> int:
    """Give the size of everything that is on its way, by either server."""
    total = 0
    for folder, _, files in os.walk(data):
        if {".storagedriver", "_uploads"} & {*Path(folder).parts}:
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    total += (Path(folder) / file).stat().st_size
    return total


def shipped_configuration(program: Callable[[str], str]) -> Path:
    """Give the config.yml of the Debian package, unpacked or installed."""
    unpacked = Path(program("docker-registry")).parent.parent / "apt"
    found = [root / "etc/docker/registry/config.yml" for root in (unpacked, Path("/"))]
    return next(path for path in found if path.is_file())


@pytest.mark.parametrize("order", ORDERS)
def test_configuration_of_the_debian_package_starts_both_unchanged(
    program: Callable[[str], str], tmp_path: Path, images: Images, order: str
) -> None:
    """Only where it listens, stores and finds its users differs, by variables."""
    config = shipped_configuration(program)
    image, port, data = images.make("image", (1, 100_000)), free_port(), tmp_path / "data"
    environment = {
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(data),
        "REGISTRY_AUTH_HTPASSWD_PATH": str(write_users(tmp_path / "users", dict([ALICE]))),
    }
    servers = [
        ServerProcess(
            [command, "serve", str(config)],
            *(port, data, tmp_path / "server.log"),
            environment=environment,
        )
        for command in (REGISTRY, program("docker-registry"))
    ]
    if order == "theirs then ours":
        servers.reverse()
    remote = f"docker://{servers[0].host}/debian/image:v1"
    path = f"/v2/debian/image/manifests/{images.digest(image)}"
    with running(servers[0]):
        images.copy(image, remote, f"--dest-creds={':'.join(ALICE)}")
    with running(servers[1]) as server:
        back = f"dir:{tmp_path / 'back'}"
        images.copy(remote, back, f"--src-creds={':'.join(ALICE)}")
        assert images.digest(back) == images.digest(image)
        refused = httpx.get(f"{server.url}/v2/")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="basic-realm"'
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert httpx.delete(server.url + path, auth=ALICE).status_code == 202
