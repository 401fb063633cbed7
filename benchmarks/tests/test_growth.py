"""How costs grow: every axis is measured, and what is steep is called so."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.growth._axes import AXES, QUICK
from benchmarks.growth._curves import Curve, Growth, plot
from benchmarks.growth._pages import report
from benchmarks.registry_load._plan import MIB

ROOT = Path(__file__).parents[2]


@pytest.mark.service("h2load")
def test_a_quick_run_measures_along_every_axis(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.growth", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(path.read_text())
    assert figures.keys() == AXES.keys()
    scales = (QUICK.repositories, QUICK.connections, QUICK.bytes, QUICK.entries)
    sizes = dict(zip(AXES, scales, strict=True))
    for name, found in figures.items():
        *costs, memory = found["rows"]
        assert len(costs) >= 2
        for cost in costs:
            assert [size for size, _ in cost["points"]] == list(sizes[name])
            assert all(took > 0 for _, took in cost["points"])
            assert cost["title"] in done.stdout
        assert all(each > MIB for each in memory["points"])


def growth(*curves: Curve) -> Growth:
    labels = [str(size) for size, _ in curves[0].points]
    return Growth("a", "a < b", "files", "ms", labels, curves, [MIB] * len(labels), [])


def test_quadratic_growth_is_told_from_linear() -> None:
    linear = Curve("one", [(1, 5.0), (10, 6.0), (100, 60.0)])
    quadratic = Curve("two", [(1, 5.0), (10, 6.0), (100, 600.0)])
    assert linear.exponent == pytest.approx(1)
    assert quadratic.exponent == pytest.approx(2)
    lines = report(growth(linear, quadratic)).lines
    assert [line[-1] for line in lines] == ["yes", "no", "-"]


def test_the_picture_has_every_point() -> None:
    curves = [
        Curve("one & only", [(1, 0.2), (10, 6.0), (100, 61.0)]),
        Curve("two", [(1, 5), (10, 6), (100, 7)]),
    ]
    picture = plot(growth(*curves))
    ElementTree.fromstring(picture)
    assert picture.count("<circle") == 6
    assert "one &amp; only" in picture and "a &lt; b" in picture
