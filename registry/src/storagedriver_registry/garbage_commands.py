"""`registry garbage-collect`: what no manifest names is deleted, while servers are at work."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from storagedriver_core import ConfigurationError, StorageDriverError
from storagedriver_registry.commands import ConfigArgument, failure, load
from storagedriver_registry.configuration import Configuration
from storagedriver_registry.configuration.models.base import parse_duration

if TYPE_CHECKING:
    from storagedriver_registry.storage.garbage_report import GarbageOptions, GarbageReport, Item

DEFAULT_GRACE = "24h"


def garbage_collect(
    config: ConfigArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-d", help="Only say what would be done.")
    ] = False,
    delete_untagged: Annotated[
        bool,
        typer.Option(
            "--delete-untagged",
            "-m",
            help="Delete manifests to which no tag leads, too. Members of an index stay with it, "
            "and what refers to a manifest with that.",
        ),
    ] = False,
    grace: Annotated[
        str | None,
        typer.Option(
            help="From when a blob is condemned to when it may be deleted, at least, as 90m or "
            f"24h; a push has as long from its first blob to its manifest. By default "
            f"{DEFAULT_GRACE}; with --offline none.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="No server is at work, neither ours nor docker/distribution: delete at once.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Delete blobs that no manifest names.

    Servers may be at work meanwhile, but not docker/distribution. Each run condemns what nothing
    names, and deletes what an earlier one has condemned: run it once a day.
    """
    configuration = load(config)
    try:
        seconds = parse_duration(grace or ("0s" if offline else DEFAULT_GRACE))
    except ValueError as error:
        raise failure(f"--grace: {error}") from None
    # Imported here: `--help` needs no storage.
    from storagedriver_registry.storage.garbage_report import GarbageOptions
    from storagedriver_registry.storage.garbage_scan import GarbageError

    options = GarbageOptions(
        grace=timedelta(seconds=seconds),
        delete_untagged=delete_untagged,
        dry_run=dry_run,
        offline=offline,
    )
    try:
        report = asyncio.run(_collect(configuration, options))
    except (ConfigurationError, StorageDriverError, GarbageError) as error:
        raise failure(str(error)) from None
    if as_json:
        typer.echo(json.dumps(_document(report, options), indent=2))
    elif not quiet:
        _tell(report, options)


async def _collect(configuration: Configuration, options: GarbageOptions) -> GarbageReport:
    from storagedriver_registry.maintenance import collect_garbage

    with _progress() as progress:
        return await collect_garbage(configuration, options, progress)


def _tell(report: GarbageReport, options: GarbageOptions) -> None:
    would = "would be " if options.dry_run else ""
    for verb, items in (("deleted", report.deleted), ("condemned", report.condemned)):
        for item in items:
            typer.echo(f"{would}{verb}\t{_spelt(item)}")
    lines = [
        f"{report.blobs} blobs, {report.manifests} manifests in {report.repositories} repositories",
        f"{_counts(report.deleted)} {would}deleted, {report.deleted_bytes} bytes",
    ]
    if not options.offline:
        lines += [
            f"{_counts(report.condemned)} {would}condemned",
            f"{report.waiting} wait for their time, {report.spared} are in use again",
        ]
    if report.emptied:
        lines.append(f"{len(report.emptied)} repositories were empty")
    if report.foreign_uploads:
        lines.append(
            f"{len(report.foreign_uploads)} upload sessions of docker/distribution "
            f"({report.foreign_uploads[0]}) are left until they are old enough for "
            "storage.maintenance.uploadpurging or `registry uploads purge`; while one is there, "
            "garbage is collected with --offline alone"
        )
    typer.echo("\n".join(lines), err=True)


def _document(report: GarbageReport, options: GarbageOptions) -> dict[str, object]:
    def items(found: list[Item]) -> dict[str, object]:
        return {
            "blobs": [str(item.digest) for item in found if not item.name],
            "manifests": [
                {"repository": item.name, "digest": str(item.digest)} for item in found if item.name
            ],
        }

    return {
        "dry_run": options.dry_run,
        "repositories": report.repositories,
        "manifests": report.manifests,
        "blobs": report.blobs,
        "deleted": items(report.deleted),
        "deleted_bytes": report.deleted_bytes,
        "condemned": items(report.condemned),
        "waiting": report.waiting,
        "spared": report.spared,
        "emptied": report.emptied,
        "foreign_uploads": report.foreign_uploads,
    }


def _counts(items: list[Item]) -> str:
    manifests = sum(bool(item.name) for item in items)
    return f"{len(items) - manifests} blobs and {manifests} manifests"


def _spelt(item: Item) -> str:
    return f"manifest\t{item.name}@{item.digest}" if item.name else f"blob\t{item.digest}"


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how far it is on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda what, count, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(what: str, count: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=count, total=total)

        yield show
