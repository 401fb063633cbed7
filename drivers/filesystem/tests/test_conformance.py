"""The shared suite on the filesystem driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite import DriverSuite, Harness


class TestFilesystem(DriverSuite):
    label = "filesystem"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return FilesystemHarness(tmp_path)
