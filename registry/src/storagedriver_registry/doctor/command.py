"""The command."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from storagedriver_core import ConfigurationError, Finding
from storagedriver_registry.commands import ConfigArgument
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.doctor.findings import Report


def doctor(
    config: ConfigArgument,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Leave out everything that writes.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long one step may take.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object a line.")] = False,
) -> None:
    """Find out what stands against serving: the storage, addresses, TLS, and what is reached for.

    Of the storage it says what `storagedriver doctor` says. Goes on after a failure with what can
    still be tried, and then ends with exit status 1; servers may be at work meanwhile.
    """
    report = Report(as_json=as_json)
    try:
        configuration = load_configuration(config)
        backend = configuration.require_backend()
        examination = backend.examination(report, read_only=read_only, seconds=timeout)
    except ConfigurationError as error:
        first, *others = error.message.splitlines()
        report.add(Finding("configuration", "failed", first, help=tuple(others)))
        raise typer.Exit(1) from None
    detail = f"{config}: driver {backend.driver_name!r}"
    report.add(Finding("configuration", "ok", detail, help=configuration.warnings))
    # Imported here: `--help` needs none of it.
    from storagedriver_registry.doctor.others import examine_others

    async def examine() -> None:
        await examination.run()
        async for finding in examine_others(configuration, read_only=read_only, seconds=timeout):
            report.add(finding)

    asyncio.run(examine())
    if not report.is_well:
        raise typer.Exit(1)
