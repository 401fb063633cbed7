"""The example of the documentation: built, installed on its own, and run through the suite."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "storagedriver-sqlite"
HARNESS_LINES = 30


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it, with its metadata, in a directory of its own."""
    wheels = tmp_path_factory.mktemp("wheels")
    target = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=EXAMPLE, check=True, capture_output=True)
    [wheel] = wheels.glob("*.whl")
    unpack = [sys.executable, "-m", "zipfile", "-e", str(wheel), str(target)]
    subprocess.run(unpack, check=True)
    return target


def run(installed: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_installed_driver_is_found_by_name(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "-m", "storagedriver_core.cli", "drivers", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sqlite" in done.stdout


def test_installed_driver_passes_the_suite(installed: Path, tmp_path: Path) -> None:
    suite = EXAMPLE / "tests" / "test_conformance.py"
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


def test_harness_of_the_example_is_short() -> None:
    source = (EXAMPLE / "tests" / "test_conformance.py").read_text()
    match = re.search(r"^class SqliteHarness.*", source, re.MULTILINE | re.DOTALL)
    assert match is not None
    assert len(match[0].strip().splitlines()) <= HARNESS_LINES
