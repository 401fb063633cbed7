"""The shared suite on the filesystem driver, bare and through each middleware."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness, Kit, suite_for

# Reasons for which a case does not run that are the machine's, not the driver's.
MACHINE = ("strace ", "harness.read_only_store ", "harness.undeletable ")


class TestFilesystem(DriverSuite):
    label = "filesystem"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return FilesystemHarness(tmp_path)


TestThroughPrefix = suite_for(DriverSuite, "filesystem", through=["prefix"])
TestThroughRetry = suite_for(DriverSuite, "filesystem", through=["retry"])
TestThroughLimit = suite_for(DriverSuite, "filesystem", through=["limit"])
TestThroughTimeout = suite_for(DriverSuite, "filesystem", through=["timeout"])
TestThroughDefaultStack = suite_for(
    DriverSuite, "filesystem", through=["prefix", "retry", "limit", "timeout"]
)
TestBenchmarks = suite_for(DriverBenchmarks, "filesystem")


def test_every_case_is_declared(tmp_path: Path) -> None:
    reasons = TestFilesystem().not_declared(Kit(FilesystemHarness(tmp_path)))
    assert [id for id, reason in reasons.items() if not reason.startswith(MACHINE)] == []
