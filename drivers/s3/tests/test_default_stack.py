"""What reads and writes of the shared suite, through the middlewares around most drivers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite import Harness
from storagedriver_testsuite._prefixed import PrefixedHarness
from storagedriver_testsuite._suite import SuiteBase
from storagedriver_testsuite.cases.content import ContentCases
from storagedriver_testsuite.cases.copying import CopyCases
from storagedriver_testsuite.cases.deleting import DeleteCases
from storagedriver_testsuite.cases.listing import ListingCases
from storagedriver_testsuite.cases.moving import MoveCases
from storagedriver_testsuite.cases.ranges import RangeCases
from storagedriver_testsuite.cases.resume import ResumeCases
from storagedriver_testsuite.cases.stat import StatCases
from storagedriver_testsuite.cases.writers import WriterCases

from drivers.s3.tests.test_conformance import TestSeaweedFS as _Bare
from storagedriver_core import StorageDriver
from storagedriver_core.middleware.limit import LimitMiddleware, LimitParameters
from storagedriver_core.middleware.prefix import PrefixMiddleware, PrefixParameters
from storagedriver_core.middleware.retry import RetryMiddleware, RetryParameters
from storagedriver_core.middleware.timeout import TimeoutMiddleware, TimeoutParameters

PREFIX = "/some/where"
HIDDEN = {"R21": "a body that ended early is opened again, and nobody sees it"}


def stack(driver: StorageDriver) -> StorageDriver:
    driver = LimitMiddleware(TimeoutMiddleware(driver, TimeoutParameters()), LimitParameters())
    driver = RetryMiddleware(driver, RetryParameters())
    return PrefixMiddleware(driver, PrefixParameters(prefix=PREFIX))


@pytest.mark.large
class TestThroughDefaultStack(
    ContentCases,
    CopyCases,
    DeleteCases,
    ListingCases,
    MoveCases,
    RangeCases,
    ResumeCases,
    StatCases,
    WriterCases,
    SuiteBase,
):
    """The groups about faults have middlewares of their own; Y01 is in every run."""

    label = "s3 on SeaweedFS through prefix, retry, limit, timeout"
    deviations: ClassVar[Mapping[str, str]] = {
        **{id: reason for id, reason in _Bare.deviations.items() if id[0] in "DLM"},
        **HIDDEN,
    }
    removed = _Bare.removed

    @pytest.fixture
    def harness(self, tmp_path: Path, seaweedfs_bucket: Mapping[str, object]) -> Harness:
        return PrefixedHarness(S3Harness(tmp_path, seaweedfs_bucket), PREFIX, stack)
