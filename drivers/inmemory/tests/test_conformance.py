"""The shared suite on the inmemory driver, bare and through each middleware."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from storagedriver_inmemory.harness import InMemoryHarness
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness, Kit, suite_for

README = Path(__file__).parents[1] / "README.md"

NOT_DECLARED = {
    *("F01", "F02", "F03", "F10", "F11", "F12", "F13", "F14", "K05", "L25", "M18", "N19"),
    *("Q01", "Q08", "R19", "R22", "U01", "U02", "U03", "U04", "U05", "U07", "U08", "U09", "W48"),
}


class TestInMemory(DriverSuite):
    label = "inmemory"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return InMemoryHarness(tmp_path)


TestThroughPrefix = suite_for(DriverSuite, "inmemory", through=["prefix"])
TestThroughRetry = suite_for(DriverSuite, "inmemory", through=["retry"])
TestThroughLimit = suite_for(DriverSuite, "inmemory", through=["limit"])
TestThroughTimeout = suite_for(DriverSuite, "inmemory", through=["timeout"])
TestThroughDefaultStack = suite_for(
    DriverSuite, "inmemory", through=["prefix", "retry", "limit", "timeout"]
)
TestBenchmarks = suite_for(DriverBenchmarks, "inmemory")


def test_readme_names_what_is_not_declared(tmp_path: Path) -> None:
    reasons = TestInMemory().not_declared(Kit(InMemoryHarness(tmp_path)))
    named = re.findall(r"^\| ([A-Z]\d\d) \|", README.read_text(), re.MULTILINE)
    assert set(named) == set(reasons) == NOT_DECLARED
