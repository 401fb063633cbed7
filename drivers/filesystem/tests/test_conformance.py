"""The shared suite on the filesystem driver, bare and through each middleware."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite import DriverBenchmarks, DriverSuite, Harness, Kit, suite_for

# Reasons for which a case does not run that are the machine's, not the driver's.
MACHINE = ("strace ", "harness.read_only_store ", "harness.undeletable ")
# Cases of a server: of requests, sessions, credentials and signed URLs.
REMOTE = {
    *("F01", "F02", "F03", "F12", "F13", "F14", "Q08", "R19", "R22", "W48"),
    *("U01", "U02", "U03", "U04", "U05", "U07", "U08", "U09"),
}


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


def test_every_case_but_those_of_a_server_is_declared(tmp_path: Path) -> None:
    reasons = TestFilesystem().not_declared(Kit(FilesystemHarness(tmp_path)))
    assert {id for id, reason in reasons.items() if not reason.startswith(MACHINE)} == REMOTE
