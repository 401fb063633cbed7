"""Plugin module: registers the driver `inmemory` and its conformance harness."""

from __future__ import annotations

from storagedriver_core import DriverSpec, HarnessSpec, hookimpl
from storagedriver_inmemory._config import InMemoryConfig


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `inmemory`."""
    return [
        DriverSpec(
            name="inmemory",
            summary="Keeps everything in this process's memory",
            factory="storagedriver_inmemory._driver:InMemoryDriver",
            parameters=InMemoryConfig,
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="inmemory",
            driver_name="inmemory",
            factory="storagedriver_inmemory.harness:InMemoryHarness",
            summary="A store in memory, looked into directly",
        )
    ]
