"""The comparisons of drivers: that each of them runs, counts, and compares what it says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks._report import DOCUMENT, Report
from benchmarks.core_overhead import measurable
from benchmarks.drivers._memory import peak_of
from benchmarks.registry_load._plan import MIB
from storagedriver_core import load_plugins

ROOT = Path(__file__).parents[2]


@pytest.mark.service("weed", "fake-gcs-server", "azurite-blob", "docker-registry")
def test_a_quick_run_has_every_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    figures = json.loads(path.read_text())
    assert figures.keys() == BENCHMARKS.keys()
    for name, found in figures.items():
        assert found["rows"], name
        assert found["title"] in done.stdout


def test_the_documentation_has_a_place_for_every_benchmark() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    for name in BENCHMARKS:
        assert f"<!-- begin {name} -->" in page and f"<!-- end {name} -->" in page


def test_every_middleware_is_measured_that_parameters_alone_open(tmp_path: Path) -> None:
    found = measurable(str(tmp_path)).keys()
    assert {"prefix", "limit", "retry", "timeout"} <= found
    # One needs a key, one refuses to write.
    assert {"cloudfront", "readonly"} <= load_plugins().middlewares.keys() - found


def test_the_peak_is_what_was_held_at_once() -> None:
    async def hold() -> None:
        for _ in range(3):
            bytes([1]) * (20 * MIB)

    assert 20 * MIB <= asyncio.run(peak_of(hold)) < 35 * MIB


def test_a_second_table_is_shown_and_written_too() -> None:
    second = Report("Second", ("what", "MiB"), [("put", "1.5")], [], [])
    whole = Report("First", ("what", "ms"), [("put", "7")], ["a note"], [], second)
    assert whole.to_markdown().splitlines()[-3:] == [
        "| what | MiB |",
        "| --- | ---: |",
        "| put | 1.5 |",
    ]
