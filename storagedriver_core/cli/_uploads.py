"""`storagedriver uploads`: what was begun and never committed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

import typer

from storagedriver_core._storage import Storage
from storagedriver_core._types import UploadInfo
from storagedriver_core.cli._common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    print_json,
    shown,
    time_of,
    with_storage,
)

app = typer.Typer(help="Uploads that were begun and never committed.", no_args_is_help=True)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# So long before now there are dates still.
_GREATEST_AGE = timedelta(days=100 * 365)


def parse_age(text: str) -> timedelta:
    """Read an age such as `90s`, `30m`, `24h` or `7d`."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    age = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta.max
    if age > _GREATEST_AGE:
        raise typer.BadParameter(f"{text!r} is no age such as 30m, 24h or 7d")
    return age


@app.command("list")
def list_uploads(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List uploads in progress: time of the last change in UTC, bytes, path."""

    async def work(storage: Storage) -> None:
        async for info in storage.list_uploads():
            _print(info, as_json)

    with_storage(config, work)


@app.command()
def purge(
    older_than: Annotated[
        timedelta,
        typer.Option(parser=parse_age, metavar="AGE", help="Age of the last change, as 24h."),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Abort uploads that nobody has changed for some time; those in use stay."""

    async def work(storage: Storage) -> None:
        for info in await storage.purge_uploads(older_than=older_than, dry_run=dry_run):
            _print(info, as_json)

    with_storage(config, work)


def _print(info: UploadInfo, as_json: bool) -> None:
    if as_json:
        print_json(_json(info))
        return
    size = "-" if info.size is None else info.size
    state = "  (in use)" if info.active else ""
    typer.echo(f"{time_of(info.updated_at):<20}  {size:>14}  {shown(info.upload.path)}{state}")


def _json(info: UploadInfo) -> dict[str, Any]:
    return {
        "path": info.upload.path,
        "upload_id": info.upload.upload_id,
        "started_at": info.started_at.isoformat(),
        "updated_at": info.updated_at.isoformat(),
        "size": info.size,
        "active": info.active,
    }
