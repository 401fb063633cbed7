"""Plugin module: registers the driver `azure` and its conformance harness."""

from __future__ import annotations

from storagedriver_azure._config import AzureConfig
from storagedriver_core import DriverSpec, HarnessSpec, hookimpl

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `azure`."""
    return [
        DriverSpec(
            name="azure",
            summary="Azure Blob Storage",
            factory="storagedriver_azure._driver:AzureDriver",
            parameters=AzureConfig,
            # Source: Azure documentation, "Permissions for calling data operations", and the
            # letters of a shared access signature.
            permissions={
                "check": f"{_BLOBS}/read; letter l",
                "list": f"{_BLOBS}/read; letter l",
                "now": f"{_BLOBS}/read; letter l",
                "get_content": f"{_BLOBS}/read; letter r",
                "put_content": f"{_BLOBS}/write; letter w",
                "delete": f"{_BLOBS}/delete; letters d and l",
                "open_upload": f"{_BLOBS}/write; letter w",
                "abort_upload": f"{_BLOBS}/read; letter r",
            },
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
