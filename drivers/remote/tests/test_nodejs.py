"""The driver in Node.js of the documentation passes the suite: each case of what it declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from storagedriver_testsuite import DriverSuite, Harness

from .nodejs import NodeHarness, declared


@pytest.fixture(scope="session")
def capabilities() -> Mapping[str, Any]:
    return declared()


@pytest.mark.service("node")
class TestNodejs(DriverSuite):
    label = "remote(nodejs)"
    only_large: ClassVar = {"F05", "L22", "N25", "P04"}

    @pytest.fixture
    def harness(self, capabilities: Mapping[str, Any]) -> Harness:
        return NodeHarness(capabilities)
