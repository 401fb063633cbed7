"""`storagedriver sync`: makes one storage's files equal to another's."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from storagedriver_core._config import open_storage
from storagedriver_core._mirroring import Mirror, MirrorEvent, MirrorOptions, MirrorReport
from storagedriver_core._paths import child_prefix
from storagedriver_core._sizes import size_of
from storagedriver_core._transfer import CHECKPOINT_BYTES
from storagedriver_core.cli._common import JsonOption, print_json, shown
from storagedriver_core.cli._progress import progress
from storagedriver_core.cli._state import Address, KeptState

checkpoint_bytes = CHECKPOINT_BYTES


def sync(
    source: Annotated[str, typer.Argument(metavar="CONFIG[:PATH]", help="What to copy from.")],
    target: Annotated[str, typer.Argument(metavar="CONFIG[:PATH]", help="What to make equal.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be done, and change nothing.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete at the target what the source has not.")
    ] = False,
    checksum: Annotated[
        bool,
        typer.Option("--checksum", help="Always compare by digest, which reads both ends."),
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Paths to leave alone, as '*/_uploads/*'; repeatable."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Copies at once.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Make the files at one place equal to those at another, in the same or another storage.

    Each end is a configuration file, and a directory if not all of it: bucket.yml:/registry.
    A file is copied where the target has none or another one, by size, time and, where these do not
    say enough, digest; it is checked by digest when it is there. What was broken off goes on where
    it was when the same command is given again. Deletes nothing unless asked, nor after a failure.
    """
    begin, end = _address(source), _address(target)
    if begin.config.resolve() == end.config.resolve() and (
        end.path == begin.path
        or end.path.startswith(child_prefix(begin.path))
        or begin.path.startswith(child_prefix(end.path))
    ):
        raise typer.BadParameter(f"{source} and {target} are one inside the other")
    options = MirrorOptions(
        checksum=checksum,
        delete=delete,
        dry_run=dry_run,
        exclude=tuple(exclude or ()),
        jobs=jobs,
        checkpoint_bytes=checkpoint_bytes,
    )
    report = asyncio.run(_run(begin, end, options, as_json))
    _print_report(report, options, as_json)
    if report.failed:
        raise typer.Exit(1)


async def _run(begin: Address, end: Address, options: MirrorOptions, as_json: bool) -> MirrorReport:
    source, target = open_storage(begin.config), open_storage(end.config)
    async with source, target:
        with progress(f"{begin.config} -> {end.config}") as show:
            return await Mirror(
                source,
                begin.path,
                target,
                end.path,
                options,
                state_of=lambda path, place: KeptState(
                    begin._replace(path=path), end._replace(path=place)
                ),
                on_event=lambda event: _print_event(event, options, as_json),
                on_progress=show,
            ).run()


def _address(text: str) -> Address:
    """Read an end; without a path it is all of the storage."""
    address = Address.parse(text if ":/" in text else f"{text}:/", Path())
    return address._replace(path=address.path.rstrip("/") or "/")


def _print_event(event: MirrorEvent, options: MirrorOptions, as_json: bool) -> None:
    if as_json:
        line: dict[str, str | int] = {"path": event.path, "action": event.action}
        if event.action == "copied":
            line["size"] = event.size
        if event.error is not None:
            line["error"] = str(event.error)
        print_json(line)
        return
    what = f"{'would be ' if options.dry_run else ''}{event.action}"
    if event.action == "copied":
        what = f"{what}, {size_of(event.size)}"
    typer.echo(f"{shown(event.path)}: {event.error or what}", err=event.error is not None)


def _print_report(report: MirrorReport, options: MirrorOptions, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": options.dry_run, **asdict(report)})
        return
    counts = {
        f"copied ({size_of(report.copied_bytes)})": report.copied,
        "unchanged": report.unchanged,
        "deleted": report.deleted,
        "extra at the target": report.extra,
        "vanished": report.vanished,
        "failed": len(report.failed),
    }
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    typer.echo(f"{'would be: ' if options.dry_run else ''}{told or 'nothing to do'}")


COMMANDS = (sync,)
