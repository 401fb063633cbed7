"""Plugin module: registers the driver `azure` and its conformance harness."""

from __future__ import annotations

from storagedriver_azure._config import AzureConfig
from storagedriver_core import DriverSpec, HarnessSpec, hookimpl


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `azure`."""
    return [
        DriverSpec(
            name="azure",
            summary="Azure Blob Storage",
            factory="storagedriver_azure._driver:AzureDriver",
            parameters=AzureConfig,
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="azure",
            driver_name="azure",
            factory="storagedriver_azure.harness:AzureHarness",
            summary="A store that the configuration file names",
        )
    ]
