"""Plugin module: adds the commands that test, measure and begin drivers."""

from __future__ import annotations

from storagedriver_core import CommandSpec, hookimpl


@hookimpl
def storagedriver_register_commands() -> list[CommandSpec]:
    """Register `conformance`, `bench` and `new`."""
    return [
        CommandSpec(
            name="conformance",
            summary="Test a driver against the contract.",
            factory="storagedriver_testsuite.command:conformance",
        ),
        CommandSpec(
            name="bench",
            summary="Measure a driver.",
            factory="storagedriver_testsuite.command:bench",
        ),
        CommandSpec(
            name="new",
            summary="Write a driver package that works, to be changed.",
            factory="storagedriver_testsuite.new.command:new",
        ),
    ]
