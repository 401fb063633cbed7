"""The shared suite on the filesystem driver through `SyncStorage`, with kills that are some."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite import Harness
from storagedriver_testsuite.through_sync import NOT_FROM_THREADS, ThroughSyncSuite

# Here they have processes to kill.
KILLED = ("W34", "W35")


@pytest.mark.large
class TestThroughSyncStorage(ThroughSyncSuite):
    label = "filesystem through SyncStorage"
    removed: ClassVar[Mapping[str, str]] = {
        id: reason for id, reason in NOT_FROM_THREADS.items() if id not in KILLED
    }

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return FilesystemHarness(tmp_path)
