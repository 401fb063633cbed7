"""The commands that test and measure a driver without any code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PLUGIN = """
from pydantic import BaseModel
from storagedriver_core import DriverSpec, HarnessSpec, hookimpl
from storagedriver_inmemory import InMemoryDriver
from storagedriver_inmemory.harness import InMemoryHarness


class Parameters(BaseModel, extra="forbid"):
    pass


class ForgetfulDriver(InMemoryDriver):
    name = "forgetful"

    async def get_content(self, path):
        return b""


class Harness(InMemoryHarness):
    def driver(self):
        return ForgetfulDriver(store=self._store)


def spec(name):
    return DriverSpec(
        name=name, summary="A test's", factory="forgetful:ForgetfulDriver", parameters=Parameters
    )


@hookimpl
def storagedriver_register_drivers():
    return [spec("forgetful"), spec("without-harness")]


@hookimpl
def storagedriver_register_harnesses():
    return [
        HarnessSpec(
            name="forgetful",
            driver_name="forgetful",
            factory="forgetful:Harness",
            summary="A test's",
        )
    ]
"""

CONFIG = """
storage:
  driver: filesystem
  parameters: {{ root_directory: {root} }}
  capabilities: {{ put_if_absent: false }}
  middleware: [ {{ prefix: {{ prefix: /below }} }}, {{ retry: {{ attempts: 2 }} }} ]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a directory of installed packages with one more plugin."""
    site = tmp_path / "site"
    metadata = site / "forgetful-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: forgetful\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[storagedriver]\nforgetful = forgetful\n")
    (site / "forgetful.py").write_text(PLUGIN)
    return site


WAITS = """
    async def get_content(self, path):
        open("begun", "w").close()
        await asyncio.sleep(3600)
"""


def storagedriver(
    directory: Path, *arguments: object, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    process = started(directory, *arguments, path=path)
    out, error = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def started(directory: Path, *arguments: object, path: Path | None = None) -> subprocess.Popen[str]:
    # A worker of pytest-xdist may run these tests; within one, pytest-benchmark measures nothing.
    outer = {key: value for key, value in os.environ.items() if "PYTEST_XDIST" not in key}
    temporary = directory / "temporary"
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "storagedriver_core.cli", *map(str, arguments)],
        cwd=directory,
        env={**outer, "PYTHONPATH": str(path or ""), "COLUMNS": "200", "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_conformance_prints_and_writes_what_came_of_each_case(tmp_path: Path) -> None:
    done = storagedriver(tmp_path, "conformance", "inmemory", "-k", "N01 or Q01", "--through=retry")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "inmemory through retry: driver inmemory" in done.stdout
    assert "Q01 not_declared: bounded_memory is not declared" in done.stdout
    assert not list((tmp_path / "temporary").iterdir())
    (suite,) = json.loads((tmp_path / "conformance.json").read_text())["suites"]
    assert {key: case["outcome"] for key, case in suite["cases"].items()} == {
        "N01": "passed",
        "Q01": "not_declared",
    }


def test_model_runs_after_what_is_simpler(tmp_path: Path) -> None:
    """So that who stops at the first failure is told by the case about it."""
    module = tmp_path / "test_collected.py"
    module.write_text(
        "from storagedriver_testsuite import DriverSuite\nclass TestIt(DriverSuite): ..."
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", module.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    cases = [line for line in done.stdout.splitlines() if "::TestIt::" in line]
    assert len(cases) > 200
    assert cases[-1].endswith("::test_any_sequence_of_operations_agrees_with_a_model")


def test_conformance_runs_the_driver_as_configured(tmp_path: Path) -> None:
    config = tmp_path / "fs.yml"
    config.write_text(CONFIG.format(root=tmp_path / "root"))
    options = ["-c", "fs.yml", "-k", "C01 or C16", "--report", "report.json"]
    done = storagedriver(tmp_path, "conformance", "filesystem", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (suite,) = json.loads((tmp_path / "report.json").read_text())["suites"]
    outcomes = {key: case["outcome"] for key, case in suite["cases"].items()}
    assert outcomes == {"C01": "passed", "C16": "not_declared"}
    assert list((tmp_path / "root").iterdir()) == []


def test_conformance_fails_where_a_case_does(tmp_path: Path, site: Path) -> None:
    done = storagedriver(tmp_path, "conformance", "forgetful", "-k", "C01", path=site)
    assert done.returncode == 1
    assert "C01 failed" in done.stdout
    assert "assert b'' ==" in done.stdout, "assertions of the cases are spelt out"


@pytest.mark.parametrize(("command", "case"), [("conformance", "C01"), ("bench", "get_of_1_kib")])
def test_interrupted_run_says_so_and_leaves_nothing(
    command: str, case: str, tmp_path: Path, site: Path
) -> None:
    waiting = PLUGIN.partition("    async def get_content")[0] + WAITS
    (site / "forgetful.py").write_text("import asyncio\n" + waiting + PLUGIN.partition('b""')[2])
    process = started(tmp_path, command, "forgetful", "-k", case, path=site)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate()
    assert process.returncode == 130, out + error
    assert not list((tmp_path / "temporary").iterdir())
    assert not (tmp_path / "conformance.json").exists()


def test_conformance_fails_where_nothing_ran(tmp_path: Path) -> None:
    for expression in ("no_such_case", "Q01"):
        done = storagedriver(tmp_path, "conformance", "inmemory", "-k", expression)
        assert done.returncode == 1, done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["conformance", "nowhere"], "try: pip install storagedriver-nowhere"),
        (["conformance", "s3"], "the driver 's3' needs a store"),
        (["conformance", "gcs"], "the driver 'gcs' needs a bucket"),
        (["bench", "without-harness"], "no package registers a conformance harness for it"),
        (["conformance", "inmemory", "--through", "retri"], "did you mean 'retry'"),
        (["bench", "inmemory", "-c", "missing.yml"], "missing.yml"),
        (["conformance", "inmemory", "--report", "not/there.json"], "not is no directory"),
        (["bench", "inmemory", "--report", "not/there.json"], "not is no directory"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(
    arguments: list[str], message: str, tmp_path: Path, site: Path
) -> None:
    done = storagedriver(tmp_path, *arguments, path=site)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert message in done.stderr


def test_bench_tells_times_and_keeps_them(tmp_path: Path) -> None:
    options = ["-k", "stat or 1_kib", "--report", "bench.json"]
    done = storagedriver(tmp_path, "bench", "inmemory", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_stat" in done.stdout and "Median" in done.stdout
    figures = json.loads((tmp_path / "bench.json").read_text())["benchmarks"]
    assert {each["name"] for each in figures} == {
        "test_get_of_1_kib",
        "test_put_of_1_kib",
        "test_stat",
    }


def test_bench_fails_where_what_came_is_wrong(tmp_path: Path, site: Path) -> None:
    done = storagedriver(tmp_path, "bench", "forgetful", "-k", "get_of_1_kib", path=site)
    assert done.returncode == 1, done.stdout
