"""Each step of `docs/writing-a-driver.md` is done, and the driver passes the suite after each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from storagedriver_testsuite.new.writing import write_package

from testsuite.tests.tutorial import members, steps, take_step

# Cases that each step lets run.
BROUGHT = {
    2: ("C01", "L01", "D03"),
    3: ("R09", "C16", "T06"),
    4: ("L23", "M10"),
    5: ("W04", "P01"),
}
LAST = max(BROUGHT)


def built(folder: Path, last: int) -> Path:
    """Give a package as its author has it after a step."""
    write_package("box", folder)
    for number in range(1, last + 1):
        take_step(number, folder)
    return folder


def outcomes(package: Path, *options: str) -> Mapping[str, Sequence[str]]:
    """Run the suite as the page says, and give the ids of the cases by their outcome."""
    report = package / "conformance.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--benchmark-disable", "--conformance-report", str(report), *options],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    (suite,) = json.loads(report.read_text())["suites"]
    found: dict[str, list[str]] = {}
    for id, case in suite["cases"].items():
        found.setdefault(case["outcome"], []).append(id)
    return found


@pytest.mark.parametrize("step", BROUGHT)
def test_each_step_lets_its_cases_pass(step: int, tmp_path: Path) -> None:
    words = " or ".join(id for ids in BROUGHT.values() for id in ids)
    found = outcomes(built(tmp_path / "package", step), "-k", words)
    passed = {id for number, ids in BROUGHT.items() if number <= step for id in ids}
    later = {id for number, ids in BROUGHT.items() if number > step for id in ids}
    assert set(found["passed"]) == passed
    assert set(found.get("not_declared", [])) == later


@pytest.mark.large
def test_whole_suite_is_green_after_each_step(tmp_path: Path) -> None:
    counts = []
    for step in BROUGHT:
        found = outcomes(built(tmp_path / str(step), step))
        assert set(found) <= {"passed", "not_declared"}
        counts.append(len(found["passed"]))
    assert counts == sorted(set(counts))


def test_at_the_end_stands_what_the_command_writes(tmp_path: Path) -> None:
    # That passes the whole suite, by test_new.py.
    package = built(tmp_path / "built", LAST)
    write_package("box", tmp_path / "written")
    shown = {name for blocks in steps().values() for name, _ in blocks}
    assert len(shown) == 5
    for name in shown:
        text = (package / name).read_text(encoding="utf-8")
        written = (tmp_path / "written" / name).read_text(encoding="utf-8")
        if name.endswith("_driver.py"):
            assert members(text) == members(written)
        else:
            assert text == written
