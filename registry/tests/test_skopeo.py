"""What skopeo does not send again, and pushes through a kill; for the rest see `clients`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.tests.counting import counting
from registry.tests.images import Images
from registry.tests.processes import ServerProcess
from registry.tests.serving import eventually

pytestmark = [pytest.mark.service("skopeo", "umoci")]

KIB = 1024
MIB = 1024 * KIB
LAYERS = (1, 10 * KIB, 3 * MIB)


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
    with counting(server.host) as proxy:
        # So that the push is not over before the server is killed.
        proxy.hold_after(4 * staged)
        halted = f"docker://{proxy.host}/skopeo/killed:v1"
        push = subprocess.Popen(
            images.copy_command(image, halted, "--retry-times", "0"), stderr=subprocess.DEVNULL
        )
        proxy.wait_until_held()
        eventually(lambda: staged_bytes(server.data), lambda found: found >= staged)
        server.kill()
        proxy.release()
        assert push.wait() != 0
    remote = f"docker://{server.host}/skopeo/killed:v1"
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
