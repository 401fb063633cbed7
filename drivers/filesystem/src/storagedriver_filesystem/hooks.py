"""Plugin module: registers the driver `filesystem` and its conformance harness."""

from __future__ import annotations

from storagedriver_core import DriverSpec, HarnessSpec, hookimpl
from storagedriver_filesystem._config import FilesystemConfig


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `filesystem`."""
    return [
        DriverSpec(
            name="filesystem",
            summary="Stores each object as a file of its own below a local directory",
            factory="storagedriver_filesystem._driver:FilesystemDriver",
            parameters=FilesystemConfig,
            permissions=dict.fromkeys(
                ("put_content", "delete", "open_upload", "abort_upload", "now"),
                "write and search (wx) on the root directory and on what is below it",
            )
            | dict.fromkeys(
                ("check", "list", "get_content", "list_uploads"),
                "read and search (rx) on the root directory and on what is below it",
            ),
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="filesystem",
            driver_name="filesystem",
            factory="storagedriver_filesystem.harness:FilesystemHarness",
            summary="A directory of its own for each test, looked into by plain system calls",
        )
    ]
