"""Plugin module: registers the driver `fsspec` and its conformance harness."""

from __future__ import annotations

from storagedriver_core import DriverSpec, HarnessSpec, hookimpl
from storagedriver_fsspec._config import FsspecConfig


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `fsspec`."""
    return [
        DriverSpec(
            name="fsspec",
            summary="Any other fsspec filesystem, by its protocol",
            factory="storagedriver_fsspec._driver:fsspec_driver",
            parameters=FsspecConfig,
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="fsspec",
            driver_name="fsspec",
            factory="storagedriver_fsspec.harness:fsspec_harness",
            summary="A store that the configuration file names",
        )
    ]
