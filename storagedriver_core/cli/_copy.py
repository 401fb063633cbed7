"""`storagedriver cp`: from one storage to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from storagedriver_core._config import open_storage
from storagedriver_core._paths import child_prefix
from storagedriver_core._sizes import size_of
from storagedriver_core._storage import Storage
from storagedriver_core._transfer import CHECKPOINT_BYTES, TransferReport, transfer
from storagedriver_core.cli._common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    print_json,
    shown,
)
from storagedriver_core.cli._progress import progress
from storagedriver_core.cli._state import Address, KeptState

checkpoint_bytes = CHECKPOINT_BYTES


def cp(
    source: Annotated[str, typer.Argument(metavar="[CONFIG:]PATH", help="File or directory.")],
    target: Annotated[str, typer.Argument(metavar="[CONFIG:]PATH", help="Name of the copy.")],
    config: ConfigOption = DEFAULT_CONFIG,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="A directory, with all files below it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy between two storages: streamed, checked by digest, metadata kept.

    An address is a configuration file and a path, as in prod.yml:/a/b; without the file it is in
    the storage of --config. A copy that was broken off goes on where it was when the same command
    is given again, and what is the same already is not copied.
    """
    begin, end = Address.parse(source, config), Address.parse(target, config)
    if begin.config.resolve() == end.config.resolve() and end.path.startswith(
        child_prefix(begin.path)
    ):
        raise typer.BadParameter(f"{target} lies below {source}")
    source_storage, target_storage = open_storage(begin.config), open_storage(end.config)

    async def work() -> None:
        async with source_storage, target_storage:
            async for path, below in _files(source_storage, begin.path, recursive):
                place = child_prefix(end.path) + below if below else end.path
                report = await _copy(
                    source_storage,
                    begin._replace(path=path),
                    target_storage,
                    end._replace(path=place),
                )
                _print(path, report, as_json)

    asyncio.run(work())


async def _files(storage: Storage, path: str, recursive: bool) -> AsyncIterator[tuple[str, str]]:
    """Give every file to copy, and what its path has beyond `path`."""
    if not (await storage.stat(path)).is_dir:
        yield path, ""
        return
    if not recursive:
        raise typer.BadParameter(f"{path} is a directory; --recursive copies it")
    below = child_prefix(path)
    async for info in storage.walk(path):
        yield info.path, info.path.removeprefix(below)


async def _copy(
    storage: Storage, source: Address, target_storage: Storage, target: Address
) -> TransferReport:
    kept = KeptState(source, target)
    with progress(source.path) as show:
        report = await transfer(
            storage,
            source.path,
            target_storage,
            target.path,
            state=kept.load(),
            on_state=kept.save,
            on_progress=show,
            checkpoint_bytes=checkpoint_bytes,
        )
    kept.clear()
    return report


def _print(source: str, report: TransferReport, as_json: bool) -> None:
    target = report.info.path
    if as_json:
        print_json({"source": source, "target": target, **_facts(report)})
        return
    what = "unchanged" if report.unchanged else f"{size_of(report.copied)} copied"
    typer.echo(f"{shown(source)} -> {shown(target)}: {what}")
    if not report.metadata_kept:
        typer.echo(f"note: {shown(target)}: the store keeps no content type, no metadata", err=True)


def _facts(report: TransferReport) -> dict[str, int | bool]:
    return {
        "size": report.info.size,
        "copied": report.copied,
        "unchanged": report.unchanged,
        "metadata_kept": report.metadata_kept,
    }


COMMANDS = (cp,)
