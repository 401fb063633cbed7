"""Plugin module: registers the driver `sqlite`."""

from __future__ import annotations

from storagedriver_core import DriverSpec, hookimpl
from storagedriver_sqlite._config import SqliteConfig


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `sqlite`."""
    return [
        DriverSpec(
            name="sqlite",
            summary="Keeps everything in one SQLite file",
            factory="storagedriver_sqlite._driver:SqliteDriver",
            parameters=SqliteConfig,
        )
    ]
