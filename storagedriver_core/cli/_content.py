"""`cat`, `put`, `get`, `mv` and `rm`: single files."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from storagedriver_core._storage import Storage
from storagedriver_core.cli._common import DEFAULT_CONFIG, ConfigOption, with_storage
from storagedriver_core.cli._files import given, read_chunks, replacing, source_file
from storagedriver_core.cli._progress import progress


def cat(
    path: Annotated[str, typer.Argument(metavar="PATH")],
    config: ConfigOption = DEFAULT_CONFIG,
    offset: Annotated[int, typer.Option(help="First byte.")] = 0,
    length: Annotated[int | None, typer.Option(help="Bytes at most.")] = None,
) -> None:
    """Write a file, or a range of it, to standard output."""

    async def work(storage: Storage) -> None:
        output = given(sys.stdout, "standard output").buffer
        async with await storage.reader(path, offset=offset, length=length) as reader:
            async for chunk in reader:
                output.write(chunk)
        output.flush()

    with_storage(config, work)


def put(
    local: Annotated[str, typer.Argument(metavar="LOCAL", help="A local file; - for input.")],
    path: Annotated[str, typer.Argument(metavar="PATH")],
    config: ConfigOption = DEFAULT_CONFIG,
    content_type: Annotated[str | None, typer.Option(help="Media type to keep.")] = None,
    digest: Annotated[
        str | None, typer.Option(help="Store only what has this digest, as sha256:<hex>.")
    ] = None,
) -> None:
    """Store a local file, or standard input. Nothing shows before all of it is there."""

    async def work(storage: Storage) -> None:
        with source_file(local) as (descriptor, size), progress(path) as show:
            body = read_chunks(descriptor, lambda done: show(done, size))
            await storage.put_content(
                path, body, size=size, digest=digest, content_type=content_type
            )

    with_storage(config, work)


def get(
    path: Annotated[str, typer.Argument(metavar="PATH")],
    local: Annotated[
        Path | None, typer.Argument(metavar="LOCAL", help="Where to; here by default.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Fetch a file. LOCAL is replaced when all of it has come, and not before."""
    target = local or Path()
    if target.is_dir():
        target = target / path.rpartition("/")[2]

    async def work(storage: Storage) -> None:
        async with await storage.reader(path) as reader:
            with progress(path) as show, replacing(target) as file:
                async for chunk in reader:
                    await asyncio.to_thread(file.write, chunk)
                    show(reader.position, reader.info.size)

    with_storage(config, work)


def mv(
    source: Annotated[str, typer.Argument(metavar="SOURCE")],
    target: Annotated[str, typer.Argument(metavar="TARGET")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Move a file within the storage, replacing one at TARGET."""

    async def work(storage: Storage) -> None:
        await storage.move(source, target)

    with_storage(config, work)


def rm(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...")],
    config: ConfigOption = DEFAULT_CONFIG,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Directories too, with all below.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Do not mind missing.")] = False,
    everything: Annotated[bool, typer.Option("--everything", help="Allow /.")] = False,
) -> None:
    """Delete files, or directories with everything below them."""
    if "/" in paths and not everything:
        raise typer.BadParameter("/ is all that is stored; --everything deletes it")

    async def work(storage: Storage) -> None:
        for path in paths:
            await storage.delete(path, missing_ok=force, recursive=recursive, everything=everything)

    with_storage(config, work)


COMMANDS = (cat, put, get, mv, rm)
