"""CI by the examples of `docs/running-the-suite.md`, for what `storagedriver new` makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from storagedriver_testsuite.new.writing import write_package

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "suite-in-ci"


class Job(NamedTuple):
    """What one job does, whoever runs it."""

    name: str
    scripts: list[str]
    pythons: list[str]
    kept: list[str]


def github() -> Iterator[Job]:
    document = yaml.safe_load((EXAMPLES / "github.yml").read_text())
    for name, job in document["jobs"].items():
        steps = job["steps"]
        pythons = job.get("strategy", {}).get("matrix", {}).get("python")
        for step in steps:
            if "setup-python" in step.get("uses", ""):
                pythons = pythons or [step["with"]["python-version"]]
        kept = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
        yield Job(f"github {name}", [step["run"] for step in steps if "run" in step], pythons, kept)


def gitlab() -> Iterator[Job]:
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / "gitlab.yml").read_text())
    for name, own in document.items():
        job = {**document.get(own.get("extends"), {}), **own}
        named = job["variables"].get("PYTHON")
        pythons = [named] if named else job["parallel"]["matrix"][0]["PYTHON"]
        scripts = [*job["before_script"], *job["script"]]
        kept = [*job["artifacts"]["paths"], *job["artifacts"].get("reports", {}).values()]
        yield Job(f"gitlab {name}", scripts, pythons, kept)


JOBS = [*github(), *gitlab()]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver's repository, checked out."""
    folder = tmp_path_factory.mktemp("ci") / "storagedriver-box"
    write_package("box", folder)
    return folder


def test_jobs_run_cases_and_leave_what_they_keep(package: Path) -> None:
    """All jobs in one run, with the options of each: every option is one, and writes its file."""
    options: list[str] = []
    for job in JOBS:
        [command] = [script for script in job.scripts if " pytest " in script]
        assert command.startswith("python -m pytest ")
        options += shlex.split(command)[3:]
    environment = {
        **os.environ,
        # As it is installed by the step before, and with few of the cases: all of them are run by
        # test_new.py.
        "PYTHONPATH": str(package / "src"),
        "PYTEST_ADDOPTS": "-q -p no:cacheprovider -k 'W01 or C01'",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=package,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\b2 passed", done.stdout)
    kept = {name for job in JOBS for name in job.kept}
    assert kept == {"conformance.json", "junit.xml"}
    assert "test_what_is_put_is_what_is_got" in (package / "junit.xml").read_text()
    [suite] = json.loads((package / "conformance.json").read_text())["suites"]
    assert suite["counts"]["passed"] == 2


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_job_installs_what_the_package_needs_on_a_python_that_it_has(
    job: Job, package: Path
) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    [install] = [script for script in job.scripts if "pip install" in script]
    extra = re.search(r"\.\[(\w+)\]", install)
    assert extra is not None
    needed = project["optional-dependencies"][extra[1]]
    assert any(one.startswith("storagedriver-testsuite") for one in needed)
    least = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    assert all(tuple(map(int, python.split("."))) >= least for python in job.pythons)
