"""Plugin module: registers the driver `filesystem`."""

from __future__ import annotations

from storagedriver_core import DriverSpec, hookimpl
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
        )
    ]
