"""`dist` is killed in the middle of a layer, or interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from registry.tests.client import unique_name
from registry.tests.counting import CountingProxy, counting
from registry.tests.dist import PATIENCE, Layout, dist_json, started, until
from registry.tests.processes import ServerProcess, docker_registry, running

pytestmark = pytest.mark.usefixtures("home")

MIB = 1 << 20
SLACK = 4 * MIB
"""What a kill loses at most: buffers of sockets, of the client and of the server."""


@pytest.fixture
def proxy(start_server: Callable[[], ServerProcess]) -> Iterator[CountingProxy]:
    with counting(start_server().host) as proxy:
        yield proxy


def layer(tmp_path: Path, size: int) -> tuple[str, str]:
    """Make an image with one layer; give its name and its digest."""
    layout = Layout(tmp_path / "image")
    descriptor = layout.image(size)
    return layout.name(descriptor, "v1"), descriptor["digest"]


def written(layout: Path) -> int:
    """Give the bytes of what is partly there."""
    return sum(one.stat().st_size for one in (layout / ".partial").glob("*"))


def uploads_below(data: Path) -> list[str]:
    """Name the upload sessions that are there, though they are dropped at the same time."""
    return [at for at, _, files in os.walk(data) if "_uploads" in Path(at).parts and files]


def struck(
    proxy: CountingProxy, how: signal.Signals, after: int, command: Sequence[str], home: Path
) -> subprocess.Popen[bytes]:
    """Run a command, and strike it when so many bytes have gone over."""
    wanted = written(layout := Path(command[2].removeprefix("oci:").removesuffix(":v1"))) + after
    proxy.hold_after(after)
    process = started(*command, home=home)
    proxy.wait_until_held()
    if command[0] == "pull":
        # What has come has to be on its way to the disk.
        until(lambda: written(layout) >= wanted - SLACK)
    process.send_signal(how)
    if how == signal.SIGKILL:
        process.communicate()
    proxy.release()
    return process


def kill_in_the_middle(
    proxy: CountingProxy, tmp_path: Path, size: int, kills: Sequence[int], verb: str
) -> None:
    """Kill a command at so many bytes of each run, and see what all runs together have moved."""
    image, digest = layer(tmp_path, size)
    name = f"{proxy.host}/{unique_name()}:v1"
    command = ["push", image, name]
    if verb == "pull":
        dist_json(*command)
        command = ["pull", name, f"oci:{tmp_path / 'pulled'}:v1"]
    before = proxy.up + proxy.down
    for after in kills:
        struck(proxy, signal.SIGKILL, after, command, tmp_path / "home")
    last = started(*command, "--json", home=tmp_path / "home")
    out, errors = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, errors
    assert digest.encode() in out
    moved = proxy.up + proxy.down - before
    assert size <= moved <= size + SLACK * len(kills) + MIB
    assert dist_json("verify", command[2])["digest"] == digest
    assert not (tmp_path / "pulled" / ".partial").exists()


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_next_run_moves_what_is_missing(proxy: CountingProxy, tmp_path: Path, verb: str) -> None:
    kill_in_the_middle(proxy, tmp_path, 24 * MIB, [9 * MIB, 9 * MIB], verb)


@pytest.mark.service("docker-registry")
def test_upload_that_the_registry_has_forgotten_is_sent_again(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    image, digest = layer(tmp_path, 9 * MIB)
    server = docker_registry(program("docker-registry"), tmp_path)
    with running(server), counting(server.host) as proxy:
        command = ["push", image, f"{proxy.host}/a/b:v1"]
        struck(proxy, signal.SIGKILL, 5 * MIB, command, tmp_path / "home")
        assert dist_json(*command)["digest"] == digest
        assert dist_json("verify", command[2])["digest"] == digest


@pytest.mark.large
@pytest.mark.parametrize("verb", ["push", "pull"])
def test_next_run_moves_what_is_missing_of_a_gibibyte(
    proxy: CountingProxy, tmp_path: Path, verb: str
) -> None:
    moments = [random.randrange(10 * MIB, 100 * MIB) for _ in range(10)]
    kill_in_the_middle(proxy, tmp_path, 1024 * MIB, moments, verb)


@pytest.mark.parametrize(
    ("verb", "how"),
    [("push", signal.SIGINT), ("pull", signal.SIGINT), ("pull", signal.SIGTERM)],
)
def test_interrupt_leaves_nothing_behind(
    proxy: CountingProxy, tmp_path: Path, verb: str, how: signal.Signals
) -> None:
    image, _ = layer(tmp_path, 9 * MIB)
    name = f"{proxy.host}/{unique_name()}:v1"
    command = ["push", image, name]
    if verb == "pull":
        dist_json(*command)
        command = ["pull", name, f"oci:{tmp_path / 'pulled'}:v1"]
    process = struck(proxy, how, 5 * MIB, command, tmp_path / "home")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert errors.endswith(b"dist: interrupted\n")
    assert b"Traceback" not in errors
    assert not (tmp_path / "pulled").exists()
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
    until(lambda: uploads_below(tmp_path / "data") == [])
