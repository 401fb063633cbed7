"""Plugin module: registers the driver `remote`, the command `serve`, and a conformance harness."""

from __future__ import annotations

from storagedriver_core import CommandSpec, DriverSpec, HarnessSpec, hookimpl
from storagedriver_remote._config import RemoteConfig


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `remote`."""
    return [
        DriverSpec(
            name="remote",
            summary="A driver in another process, of any language",
            factory="storagedriver_remote._driver:RemoteDriver",
            parameters=RemoteConfig,
        )
    ]


@hookimpl
def storagedriver_register_commands() -> list[CommandSpec]:
    """Register `serve`."""
    return [
        CommandSpec(
            name="serve",
            summary="Serve a storage to `remote` drivers.",
            factory="storagedriver_remote.server.command:serve",
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="remote",
            driver_name="remote",
            factory="storagedriver_remote.harness:RemoteHarness",
            summary="A server process of its own in front of another driver's harness",
        )
    ]
