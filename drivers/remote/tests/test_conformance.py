"""The shared suite through a server in another process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_remote.harness import RemoteHarness
from storagedriver_testsuite import DriverSuite, Harness


class TestRemoteInMemory(DriverSuite):
    """By TCP, so that faults on the way can be shown."""

    label = "remote(inmemory)"
    only_large: ClassVar = {"N25", "P04"}

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return RemoteHarness(tmp_path, {"behind": "inmemory", "transport": "tcp"})


class TestRemoteFilesystem(DriverSuite):
    """By a socket of the machine; the store is shared between processes."""

    label = "remote(filesystem)"
    only_large: ClassVar = {
        *("E08", "F05", "K05", "K10", "L22", "M18", "N25", "P04", "Q01"),
        *("W32", "W34", "W35", "W41"),
    }

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return RemoteHarness(tmp_path, {"behind": "filesystem", "transport": "unix"})
