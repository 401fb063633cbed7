"""`ls`, `stat` and `du`: what is stored, and how much."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

import typer

from storagedriver_core._errors import ConflictError, PathNotFoundError
from storagedriver_core._sizes import size_of
from storagedriver_core._storage import Storage
from storagedriver_core._types import FileInfo
from storagedriver_core.cli._common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    file_json,
    print_json,
    shown,
    time_of,
    with_storage,
)


def ls(
    path: Annotated[str, typer.Argument(metavar="PATH")] = "/",
    config: ConfigOption = DEFAULT_CONFIG,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Every file below PATH.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List a directory or file: size in bytes, time in UTC, path. With --json an object a line."""

    async def work(storage: Storage) -> None:
        async for info in _entries(storage, path, recursive):
            if as_json:
                print_json(file_json(info))
            else:
                size = "-" if info.is_dir else info.size
                name = shown(info.path) + ("/" if info.is_dir else "")
                typer.echo(f"{size:>14}  {time_of(info.mod_time):<20}  {name}")

    with_storage(config, work)


def stat(
    path: Annotated[str, typer.Argument(metavar="PATH")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell what is at a path."""

    async def work(storage: Storage) -> None:
        known = file_json(await storage.stat(path))
        if as_json:
            print_json(known)
            return
        for key, value in known.items():
            typer.echo(f"{key}: {shown(str(value))}")

    with_storage(config, work)


def du(
    path: Annotated[str, typer.Argument(metavar="PATH")] = "/",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Sum up the files below a path. Uploads in progress do not count."""

    async def work(storage: Storage) -> None:
        files = size = 0
        info = await storage.stat(path)
        if info.is_dir:
            async for entry in storage.walk(path):
                files += 1
                size += entry.size
        else:
            files, size = 1, info.size
        if as_json:
            print_json({"path": path, "size": size, "files": files})
        else:
            typer.echo(f"{size}  ({size_of(size)} in {files} files)  {shown(path)}")

    with_storage(config, work)


async def _entries(storage: Storage, path: str, recursive: bool) -> AsyncIterator[FileInfo]:
    """Give what a directory holds; of a file, the file."""
    try:
        async for info in storage.walk(path) if recursive else storage.list(path):
            yield info
    except (PathNotFoundError, ConflictError):
        with suppress(PathNotFoundError):
            info = await storage.stat(path)
            if not info.is_dir:
                yield info
                return
        raise


COMMANDS = (ls, stat, du)
