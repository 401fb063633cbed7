"""What the subcommands share: options, opening a storage, and how things are printed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from storagedriver_core._config import open_storage
from storagedriver_core._storage import Storage
from storagedriver_core._types import FileInfo

_Result = TypeVar("_Result")

DEFAULT_CONFIG = Path("storage.yml")

ConfigOption: TypeAlias = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="STORAGEDRIVER_CONFIG", help="Configuration file."),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def with_storage(config: Path, work: Callable[[Storage], Awaitable[_Result]]) -> _Result:
    """Open the configured storage, do `work` with it, and close it."""
    storage = open_storage(config)

    async def run() -> _Result:
        async with storage:
            return await work(storage)

    return asyncio.run(run())


def print_json(value: Any) -> None:
    """Print one value on one line, so that lists can be printed as they come."""
    typer.echo(json.dumps(value))


def file_json(info: FileInfo) -> dict[str, Any]:
    """Give what `--json` prints of a file or directory; what is not known is left out."""
    known = {
        "path": info.path,
        "size": info.size,
        "is_dir": info.is_dir,
        "mod_time": info.mod_time.isoformat() if info.mod_time else None,
        "etag": info.etag,
        "content_type": info.content_type,
        "metadata": dict(info.metadata) if info.metadata else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def shown(path: str) -> str:
    """Spell a path for people; control characters, which a terminal would obey, are escaped."""
    return path if path.isprintable() else repr(path)


def time_of(moment: datetime | None) -> str:
    """Spell a time for people, in UTC."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "-"
