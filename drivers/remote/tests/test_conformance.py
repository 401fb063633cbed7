"""The shared suite through a server in another process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_remote.harness import RemoteHarness
from storagedriver_testsuite import DriverSuite, Harness
from storagedriver_testsuite._suite import SuiteBase
from storagedriver_testsuite.cases.content import ContentCases
from storagedriver_testsuite.cases.copying import CopyCases
from storagedriver_testsuite.cases.faults import FaultCases
from storagedriver_testsuite.cases.listing import ListingCases
from storagedriver_testsuite.cases.publishing import PublishingCases
from storagedriver_testsuite.cases.resume import ResumeCases
from storagedriver_testsuite.cases.writers import WriterCases


class TestRemoteInMemory(DriverSuite):
    """By TCP, so that faults on the way can be shown."""

    label = "remote(inmemory)"
    only_large: ClassVar = {"N25", "P04"}

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return RemoteHarness(tmp_path, {"behind": "inmemory", "transport": "tcp"})


class FilesystemBehind(SuiteBase):
    """By a socket of the machine; the store is shared between processes."""

    label = "remote(filesystem)"

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return RemoteHarness(tmp_path, {"behind": "filesystem", "transport": "unix"})


class TestRemoteFilesystem(
    FilesystemBehind,
    ContentCases,
    WriterCases,
    ResumeCases,
    PublishingCases,
    ListingCases,
    CopyCases,
    FaultCases,
):
    """What differs from a store in memory; the others do not care what is behind."""

    only_large: ClassVar = {"M18"}


@pytest.mark.large
class TestRemoteFilesystemWhole(FilesystemBehind, DriverSuite):
    """Everything: half of it are processes that are started and killed."""
