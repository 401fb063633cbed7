"""Real images, by skopeo, there and back."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.tests.images import Images
from registry.tests.processes import ServerProcess

pytestmark = [pytest.mark.service("skopeo", "umoci")]

KIB = 1024
MIB = 1024 * KIB
LAYERS = (1, 10 * KIB, 3 * MIB)
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def test_image_comes_back_with_the_same_digests(server: ServerProcess, images: Images) -> None:
    image = images.make("image", LAYERS)
    remote = f"docker://{server.host}/skopeo/image:v1"
    images.copy(image, remote)
    back = images.pulled(remote, "back")
    assert images.digest(image) == images.digest(remote) == images.digest(back)
    assert len(images.layers(back)) == len(LAYERS)


def test_docker_form_comes_back_with_the_same_digests(
    server: ServerProcess, images: Images
) -> None:
    image = images.make("image", LAYERS)
    remote = f"docker://{server.host}/skopeo/docker:v1"
    images.copy(image, remote, "--format", "v2s2")
    assert images.manifest(remote)["mediaType"] == DOCKER_MANIFEST
    back = images.pulled(remote, "back")
    assert images.digest(back) == images.digest(remote)
    assert images.layers(back) == images.layers(image)


def test_tags_are_listed_inspected_and_deleted(server: ServerProcess, images: Images) -> None:
    name = f"docker://{server.host}/skopeo/tags"
    first, second = images.make("first", (1,)), images.make("second", (2,))
    for image, tag in ((first, "v1"), (second, "v2")):
        images.copy(image, f"{name}:{tag}")
    assert json.loads(images.skopeo("list-tags", name))["Tags"] == ["v1", "v2"]
    inspected = json.loads(images.skopeo("inspect", f"{name}:v2"))
    assert inspected["Digest"] == images.digest(second)
    assert inspected["Layers"] == images.layers(second)
    images.skopeo("delete", f"{name}:v1")
    assert json.loads(images.skopeo("list-tags", name))["Tags"] == ["v2"]


def test_second_push_sends_no_layer_again(server: ServerProcess, images: Images) -> None:
    image = images.make("image", LAYERS)
    blobs = server.data / "docker/registry/v2/blobs"
    images.copy(image, f"docker://{server.host}/skopeo/again:v1")
    before = {path: path.stat().st_ino for path in blobs.rglob("data")}
    images.copy(image, f"docker://{server.host}/skopeo/again:v2")
    images.copy(image, f"docker://{server.host}/skopeo/elsewhere:v1")
    assert {path: path.stat().st_ino for path in blobs.rglob("data")} == before


def push_through_a_kill(server: ServerProcess, images: Images, image: str, staged: int) -> None:
    """Push, kill the server when `staged` bytes have come, start it, push again and pull."""
    remote = f"docker://{server.host}/skopeo/killed:v1"
    push = subprocess.Popen(
        images.copy_command(image, remote, "--retry-times", "0"), stderr=subprocess.DEVNULL
    )
    while staged_bytes(server.data) < staged:
        assert push.poll() is None, "the push was over before the server was killed"
        time.sleep(0.001)
    server.kill()
    assert push.wait() != 0
    server.start()
    images.copy(image, remote)
    assert images.digest(images.pulled(remote, "back")) == images.digest(image)


def staged_bytes(data: Path) -> int:
    total = 0
    for path in (data / ".storagedriver").rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def test_push_succeeds_after_the_server_was_killed_in_the_first(
    start_server: Callable[..., ServerProcess], images: Images
) -> None:
    push_through_a_kill(start_server(), images, images.make("image", (1, 48 * MIB)), MIB)


@pytest.mark.large
def test_image_with_a_large_layer(
    start_server: Callable[..., ServerProcess], images: Images
) -> None:
    server, image = start_server(), images.make("image", (10 * KIB, 256 * MIB, MIB))
    push_through_a_kill(server, images, image, 64 * MIB)
    remote = f"docker://{server.host}/skopeo/large-docker:v1"
    images.copy(image, remote, "--format", "v2s2")
    back = images.pulled(remote, "docker-back")
    assert images.digest(back) == images.digest(remote)
    assert images.layers(back) == images.layers(image)
