"""The shared suite on Azurite."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness, Kit

README = Path(__file__).parents[1] / "README.md"

WRONG_CODE = "Azurite answers a wrong signature with AuthorizationFailure, as if it were a right"
DEVIATIONS = {
    "E06": WRONG_CODE,
    "E14": WRONG_CODE,
    "U08": "Azurite answers a suffix range (bytes=-5), which the service has not, with everything",
}
REMOVED = {
    "D12": "Azurite deletes a blob of which there are only blocks, if they came first",
}
NOT_DECLARED = {
    *("C14", "F08", "F09", "F11", "F12", "F13", "M12", "M16", "M18", "N19"),
    *("P01", "P02", "P03", "P04", "U05", "W51"),
}


class TestAzurite(DriverSuite):
    label = "azure on Azurite"
    deviations = DEVIATIONS
    removed = REMOVED

    @pytest.fixture
    def harness(self, azure_harness: Harness) -> Harness:
        return azure_harness


class TestBenchmarks(DriverBenchmarks):
    label = "azure on Azurite"

    @pytest.fixture
    def harness(self, azure_harness: Harness) -> Harness:
        return azure_harness


def test_readme_names_what_is_not_declared_and_what_deviates(azure_harness: Harness) -> None:
    reasons = TestAzurite().not_declared(Kit(azure_harness))
    listed, deviating = README.read_text().split("| deviation | because |")
    named = re.findall(r"^\| ([A-Z]\d\d) \|", listed, re.MULTILINE)
    assert set(named) == set(reasons) == NOT_DECLARED
    assert set(re.findall(r"^\| ([A-Z]\d\d) \|", deviating, re.MULTILINE)) == {
        *DEVIATIONS,
        *REMOVED,
    }
