"""What reads and writes of the shared suite, through the middlewares around most drivers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_testsuite import Harness
from storagedriver_testsuite.default_stack import DefaultStackSuite, through_default_stack

from drivers.gcs.tests._strict import StrictHarness
from servers.strict_gcs import StrictGcs


class TestThroughDefaultStack(DefaultStackSuite):
    label = "gcs on the strict fake through prefix, retry, limit, timeout"
    only_large: ClassVar = {"C20", "D05", "D06", "L25", "M19", "W32"}

    @pytest.fixture
    def harness(self, tmp_path: Path, strict_gcs: StrictGcs) -> Harness:
        return through_default_stack(StrictHarness(tmp_path, strict_gcs))
