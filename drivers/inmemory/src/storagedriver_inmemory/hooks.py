"""Plugin module: registers the driver `inmemory`."""

from __future__ import annotations

from storagedriver_core import DriverSpec, hookimpl
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
