"""The driver in Node.js of the documentation passes the suite: each case of what it declares."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from storagedriver_remote._client import Client
from storagedriver_testsuite import DriverSuite, Harness

from .nodejs import NodeHarness, RunningNode


@pytest.fixture(scope="session")
def declared() -> Mapping[str, Any]:
    """Ask the program what it can do."""

    async def ask() -> Mapping[str, Any]:
        client = Client(RunningNode.get().address, "")
        await client.open()
        try:
            capabilities: Mapping[str, Any] = (await client.handshake())["capabilities"]
            return capabilities
        finally:
            await client.aclose()

    return asyncio.run(ask())


@pytest.mark.service("node")
class TestNodejs(DriverSuite):
    label = "remote(nodejs)"

    @pytest.fixture
    def harness(self, declared: Mapping[str, Any]) -> Harness:
        return NodeHarness(declared)
