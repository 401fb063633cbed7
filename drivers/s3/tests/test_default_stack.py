"""What reads and writes of the shared suite, through the middlewares around most drivers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite import Harness
from storagedriver_testsuite.default_stack import (
    HIDDEN,
    DefaultStackSuite,
    through_default_stack,
)

from drivers.s3.tests.test_conformance import TestSeaweedFS as _Bare


class TestThroughDefaultStack(DefaultStackSuite):
    label = "s3 on SeaweedFS through prefix, retry, limit, timeout"
    deviations: ClassVar[Mapping[str, str]] = {
        **{id: reason for id, reason in _Bare.deviations.items() if id[0] in "DLM"},
        **HIDDEN,
    }
    removed = _Bare.removed
    only_large: ClassVar = {
        *("C20", "D05", "D06", "L25", "M16", "M18", "M19"),
        *("W03", "W04", "W07", "W24", "W32", "W33"),
    }

    @pytest.fixture
    def harness(self, tmp_path: Path, seaweedfs_bucket: Mapping[str, object]) -> Harness:
        return through_default_stack(S3Harness(tmp_path, seaweedfs_bucket))
