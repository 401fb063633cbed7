"""What reads and writes of the shared suite, through the middlewares around most drivers."""

from __future__ import annotations

import pytest
from storagedriver_testsuite import Harness
from storagedriver_testsuite.default_stack import DefaultStackSuite, through_default_stack


@pytest.mark.large
class TestThroughDefaultStack(DefaultStackSuite):
    label = "azure on Azurite through prefix, retry, limit, timeout"

    @pytest.fixture
    def harness(self, azure_harness: Harness) -> Harness:
        return through_default_stack(azure_harness)
