"""The shared suite through a server in another process."""

from __future__ import annotations

from pathlib import Path

import pytest
from storagedriver_remote.harness import RemoteHarness
from storagedriver_testsuite import DriverSuite, Harness


class TestRemoteInMemory(DriverSuite):
    """By TCP, so that faults on the way can be shown."""

    label = "remote(inmemory)"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return RemoteHarness(tmp_path, {"behind": "inmemory", "transport": "tcp"})


class TestRemoteFilesystem(DriverSuite):
    """By a socket of the machine; the store is shared between processes."""

    label = "remote(filesystem)"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return RemoteHarness(tmp_path, {"behind": "filesystem", "transport": "unix"})
