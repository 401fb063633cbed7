"""Plugin module: registers the driver `s3` and its conformance harness."""

from __future__ import annotations

from storagedriver_core import DriverSpec, HarnessSpec, hookimpl
from storagedriver_s3._config import S3Config


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `s3`."""
    return [
        DriverSpec(
            name="s3",
            summary="Amazon S3 and stores that speak its protocol",
            factory="storagedriver_s3._driver:S3Driver",
            parameters=S3Config,
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="s3",
            driver_name="s3",
            factory="storagedriver_s3.harness:S3Harness",
            summary="A store that the configuration file names",
        )
    ]
