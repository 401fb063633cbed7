"""`registry uploads`: what is on its way, and what nobody has gone on with."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

import typer

from storagedriver_core import ConfigurationError, StorageDriverError
from storagedriver_registry.commands import ConfigArgument, failure, load
from storagedriver_registry.configuration import Configuration
from storagedriver_registry.configuration.models.base import parse_duration
from storagedriver_registry.storage.sessions import PurgeReport, SessionInfo

app = typer.Typer(help="Uploads that have not been finished.", no_args_is_help=True)


@app.command("list")
def list_uploads(config: ConfigArgument) -> None:
    """List upload sessions: repository, id, bytes, and when something was last stored."""
    configuration = load(config)
    try:
        asyncio.run(_list(configuration))
    except (ConfigurationError, StorageDriverError) as error:
        raise failure(str(error)) from None


@app.command()
def purge(
    config: ConfigArgument,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Age, as 90m or 168h. By default that of storage.maintenance.uploadpurging."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
) -> None:
    """Drop upload sessions with which nobody has gone on for a time.

    Servers may be at work meanwhile. Sessions of docker/distribution age likewise, and so do
    uploads that no session knows.
    """
    configuration = load(config)
    seconds = configuration.settings.storage.maintenance.uploadpurging.age
    if older_than is not None:
        try:
            seconds = parse_duration(older_than)
        except ValueError as error:
            raise failure(f"--older-than: {error}") from None
    try:
        report = asyncio.run(_purge(configuration, timedelta(seconds=seconds), dry_run))
    except (ConfigurationError, StorageDriverError) as error:
        raise failure(str(error)) from None
    for session in report.sessions:
        typer.echo(_line(session))
    done = "would be purged" if dry_run else "purged"
    counts = f"{len(report.sessions)} upload sessions and {report.others} other uploads"
    typer.echo(f"{counts} {done}", err=True)


async def _list(configuration: Configuration) -> None:
    # Imported here: `--help` needs no storage.
    from storagedriver_registry.maintenance import opened_stores

    async with opened_stores(configuration) as stores:
        async for session in stores.sessions.list():
            typer.echo(_line(session))


async def _purge(configuration: Configuration, age: timedelta, dry_run: bool) -> PurgeReport:
    from storagedriver_registry.maintenance import opened_stores

    async with opened_stores(configuration) as stores:
        return await stores.sessions.purge(age, dry_run=dry_run)


def _line(session: SessionInfo) -> str:
    size = "-" if session.size is None else str(session.size)
    updated = session.updated.isoformat(timespec="seconds")
    return f"{session.name}\t{session.id}\t{size}\t{updated}"
