"""From an empty folder to an image in a registry, as a stranger goes, and how long it takes.

`test_new.py` goes the same way without an index of packages: what is installed there is unpacked.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.tests.images import Images, Program
from registry.tests.processes import ServerProcess, free_port, running
from testsuite.tests.stranger import METADATA_BYTES, edit

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


class Clock:
    """How long each part has taken."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun

    def table(self) -> str:
        rows = {**self.seconds, "all": sum(self.seconds.values())}
        return "\n".join(f"{seconds:7.1f} s  {name}" for name, seconds in rows.items())


class Environment:
    """An environment with nothing in it, where our packages are installed as from an index."""

    def __init__(self, folder: Path, index: tuple[str | Path, ...]) -> None:
        self._bin = folder / "bin"
        self._index = index
        venv.create(folder, with_pip=True, symlinks=True)

    def install(self, *what: str) -> None:
        workspace = importlib.import_module("workspace")
        workspace.install(self._bin / "python", *what, *self._index, capture_output=True)

    def command(self, name: str) -> str:
        return str(self._bin / name)

    def run(self, name: str, *arguments: str, cwd: Path) -> str:
        done = subprocess.run(
            [self.command(name), *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{name} {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str | Path, ...]:
    """Build our wheels, and give the options that let an installer find them."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    wheels: Any = importlib.import_module("wheels")
    workspace: Any = importlib.import_module("workspace")
    monkeypatch.setattr(wheels, "DIST", tmp_path / "index")
    built = {
        str(workspace.load_project(folder)["project"]["name"]): wheels.build(folder)
        for folder in workspace.members()
    }
    options: tuple[str | Path, ...] = wheels.constrained_to(built, tmp_path)
    return options


@pytest.mark.large
@pytest.mark.service("skopeo", "umoci")
def test_stranger_comes_from_an_empty_folder_to_an_image_in_a_registry(
    index: tuple[str | Path, ...],
    tmp_path: Path,
    program: Program,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = Images(program, tmp_path)
    image = images.make("image", (10, 3_000_000))
    home = tmp_path / "home"
    home.mkdir()
    package = home / "storagedriver-acme"
    clock = Clock()

    with clock.part("an environment, pip install storagedriver-testsuite"):
        author = Environment(home / "author", index)
        author.install("storagedriver-testsuite")
    with clock.part("storagedriver new acme, and an edit"):
        author.run("storagedriver", "new", "acme", cwd=home)
        edit(package)
    with clock.part("pip install -e .[test]"):
        author.install("--editable", f"{package}[test]")
    with clock.part("pytest: conformance"):
        author.run("pytest", "--conformance-report=conformance.json", cwd=package)
    with clock.part("pip wheel"):
        author.run("pip", "wheel", "--no-deps", "--wheel-dir", "dist", ".", cwd=package)
    (wheel,) = (package / "dist").glob("*.whl")
    with clock.part("a clean environment, pip install the wheel and storagedriver-registry"):
        user = Environment(home / "user", index)
        user.install(str(wheel), "storagedriver-registry")
    with clock.part("a registry on it, skopeo copy there and back"):
        server = registry_on(home, user)
        with running(server):
            remote = f"docker://{server.host}/stranger/image:v1"
            images.copy(image, remote)
            pulled = images.pulled(remote, "back")

    assert images.digest(pulled) == images.digest(image)
    assert (home / "objects.acme").stat().st_size > 3_000_000
    (suite,) = json.loads((package / "conformance.json").read_text())["suites"]
    assert suite["capabilities"]["max_metadata_bytes"] == METADATA_BYTES
    assert set(suite["counts"]) == {"passed", "not_declared"}
    # Nothing of the author's is needed to use it.
    assert "storagedriver-testsuite" not in user.run("pip", "list", cwd=home)
    with capsys.disabled():
        print(f"\nA stranger's path from an empty folder:\n{clock.table()}")


def registry_on(home: Path, user: Environment) -> ServerProcess:
    """Write the registry's YAML, and give a registry of the user's, not started."""
    port = free_port()
    config = home / "registry.yml"
    sections = {
        "version": "0.1",
        "storage": {"acme": {"file": str(home / "objects.acme")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    config.write_text(yaml.safe_dump(sections))
    command = [user.command("registry"), "serve", str(config)]
    return ServerProcess(command, port, home, home / "registry.log")
