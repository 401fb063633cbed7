"""`storagedriver new`: what it writes is built, installed alone, and used as a stranger would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from storagedriver_testsuite.new.writing import NotEmptyError, write_package

from registry.tests.images import Images, Program
from registry.tests.processes import our_server, running
from testsuite.tests.stranger import METADATA_BYTES, SUMMARY, edit

EXAMPLE = Path(__file__).parents[1] / "src/storagedriver_testsuite/new/storagedriver-sqlite"
HARNESS_LINES = 30
COMMAND = ("-m", "storagedriver_core.cli")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a package by the command, and edit it."""
    folder = tmp_path_factory.mktemp("new")
    done = subprocess.run(
        [sys.executable, *COMMAND, "new", "acme_box"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "storagedriver-acme-box/src/storagedriver_acme_box/_driver.py" in done.stdout
    edit(folder / "storagedriver-acme-box")
    return folder / "storagedriver-acme-box"


@pytest.fixture(scope="module")
def installed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it, with its metadata, in a directory of its own."""
    wheels = tmp_path_factory.mktemp("wheels")
    target = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=written, check=True, capture_output=True)
    [wheel] = wheels.glob("*.whl")
    assert wheel.name == "storagedriver_acme_box-0.1.0-py3-none-any.whl"
    unpack = [sys.executable, "-m", "zipfile", "-e", str(wheel), str(target)]
    subprocess.run(unpack, check=True)
    return target


def run(installed: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_installed_driver_is_found_by_name(installed: Path, tmp_path: Path) -> None:
    done = run(installed, *COMMAND, "drivers", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = {one["name"]: one["summary"] for one in json.loads(done.stdout)["drivers"]}
    assert listed["acme_box"] == SUMMARY
    taken = run(installed, *COMMAND, "new", "acme_box", cwd=tmp_path)
    assert taken.returncode == 2
    assert "installed already" in taken.stderr
    assert not list(tmp_path.iterdir())


def test_installed_driver_passes_the_suite(written: Path, installed: Path, tmp_path: Path) -> None:
    suite = written / "tests" / "test_conformance.py"
    report = tmp_path / "conformance.json"
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "--benchmark-disable"]
    done = run(
        installed,
        *("-m", "pytest", *options, "--conformance-report", str(report), str(suite)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    [suite_report] = json.loads(report.read_text())["suites"]
    assert suite_report["counts"]["passed"] > 150
    assert "failed" not in suite_report["counts"]
    assert suite_report["capabilities"]["max_metadata_bytes"] == METADATA_BYTES


@pytest.mark.service("skopeo", "umoci")
def test_a_registry_stores_through_the_installed_driver(
    installed: Path, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed))
    images = Images(program, tmp_path)
    image = images.make("image", (10, 3_000_000))
    server = our_server(tmp_path, store={"acme_box": {"file": str(tmp_path / "objects.sqlite")}})
    with running(server):
        remote = f"docker://{server.host}/stranger/image:v1"
        images.copy(image, remote)
        assert images.digest(images.pulled(remote, "back")) == images.digest(image)
    assert (tmp_path / "objects.sqlite").stat().st_size > 3_000_000


def test_what_is_written_holds_nothing_of_the_example_s_name(written: Path) -> None:
    for file in written.rglob("*"):
        assert "storagedriver_sqlite" not in str(file)
        # Where it was run, it was compiled.
        if file.is_file() and file.suffix != ".pyc":
            assert not re.search(
                r"""storagedriver.sqlite|Sqlite|["`]sqlite["`]""", file.read_text()
            )


def test_harness_of_the_example_is_short() -> None:
    source = (EXAMPLE / "tests" / "test_conformance.py").read_text()
    match = re.search(r"^class SqliteHarness.*", source, re.MULTILINE | re.DOTALL)
    assert match is not None
    assert len(match[0].strip().splitlines()) <= HARNESS_LINES


@pytest.mark.parametrize("name", ["", "9box", "Box", "a-b", "a/b", "a.b", "box "])
def test_a_name_that_no_module_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a-z"):
        write_package(name, tmp_path / "package")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(NotEmptyError, match="not empty"):
        write_package("box", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
