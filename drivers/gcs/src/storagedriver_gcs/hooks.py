"""Plugin module: registers the driver `gcs` and its conformance harness."""

from __future__ import annotations

from storagedriver_core import DriverSpec, HarnessSpec, hookimpl
from storagedriver_gcs._config import GcsConfig


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `gcs`."""
    return [
        DriverSpec(
            name="gcs",
            summary="Google Cloud Storage",
            factory="storagedriver_gcs._driver:GcsDriver",
            parameters=GcsConfig,
            # Source: Cloud Storage documentation, "IAM permissions for JSON methods".
            permissions={
                "check": "storage.objects.list",
                "list": "storage.objects.list",
                "now": "storage.objects.list",
                "get_content": "storage.objects.get",
                "put_content": "storage.objects.create, and .delete to replace",
                "delete": "storage.objects.delete and .list",
                "open_upload": "storage.objects.create",
                "abort_upload": "storage.objects.create",
            },
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="gcs",
            driver_name="gcs",
            factory="storagedriver_gcs.harness:GcsHarness",
            summary="A store that the configuration file names",
        )
    ]
