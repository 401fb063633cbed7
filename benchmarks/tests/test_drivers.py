"""The comparisons of drivers: that each of them runs, counts, and compares what it says."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks._report import DOCUMENT, Report, circumstances
from benchmarks.core_overhead import measurable
from benchmarks.drivers._memory import peak_of
from benchmarks.registry_load._plan import MIB
from storagedriver_core import load_plugins

ROOT = Path(__file__).parents[2]


@pytest.mark.service("weed", "azurite-blob")
def test_a_quick_run_compares_drivers(tmp_path: Path) -> None:
    local = ["core_overhead", "filesystem_speed", "drivers_filesystem", "drivers_inmemory"]
    names = [*local, "drivers_s3", "drivers_resume"]
    figures = quick_run(tmp_path, names)
    assert figures.keys() == set(names)
    # An upload of 9 MiB: begun, two parts, completed.
    [put] = [row for row in figures["drivers_s3"]["rows"] if row["work"] == "put 9 MiB"]
    assert put["costs"]["ours"]["requests"] == 4
    for row in figures["drivers_filesystem"]["rows"]:
        assert row["costs"]["ours"]["requests"] is None
    for row in figures["drivers_resume"]["rows"]:
        assert all(cost["requests"] in (1, None) for cost in row["costs"])


@pytest.mark.large
@pytest.mark.service("weed", "fake-gcs-server", "azurite-blob", "docker-registry")
def test_a_quick_run_has_all_drivers_and_registries(tmp_path: Path) -> None:
    names = ["drivers", "registry"]
    found = quick_run(tmp_path, names).keys()
    assert found == {name for name in BENCHMARKS if name.startswith(tuple(names))}


def quick_run(folder: Path, names: list[str]) -> dict[str, Any]:
    """Run some, see that they show what they found, and give that."""
    path = folder / "figures.json"
    command = [sys.executable, "-m", "benchmarks", *names, "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    figures: dict[str, Any] = json.loads(path.read_text())
    for name, found in figures.items():
        assert found["rows"], name
        assert found["title"] in done.stdout
    return figures


def test_the_documentation_has_a_place_for_every_benchmark() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    for name in BENCHMARKS:
        assert f"<!-- begin {name} -->" in page and f"<!-- end {name} -->" in page


def test_every_middleware_is_measured(tmp_path: Path) -> None:
    assert measurable(tmp_path).keys() == load_plugins().middlewares.keys()


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


@pytest.mark.parametrize(("load", "is_said"), [(1.0, False), (100_000.0, True)])
def test_a_busy_machine_is_told_of(
    monkeypatch: pytest.MonkeyPatch, load: float, is_said: bool
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, load, 0.0))
    assert ("busy" in circumstances([])) is is_said
