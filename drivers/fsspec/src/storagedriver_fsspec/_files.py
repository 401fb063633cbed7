"""What the driver needs of a filesystem: a few primitives, fulfilled by one adapter a kind.

They are written as coroutines. An adapter of a blocking filesystem never waits in them: whole
operations made of them are then run in one thread, from the first step to the last (`finished`).
An adapter of an asynchronous filesystem waits on the event loop.
"""

from __future__ import annotations

import datetime as clock
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from storagedriver_core import (
    Buffer,
    ConflictError,
    FileInfo,
    PathNotFoundError,
    ReadOptions,
    StorageDriverError,
    UnsupportedMethodError,
)

T = TypeVar("T")
_TRIES = 3
Take: TypeAlias = Callable[[FileInfo], None]


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, and give its result."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("a blocking filesystem waited")


class Body(ABC):
    """A range of one version of a file, while it is read.

    Attributes:
        info: The whole file, as at the opening.
    """

    info: FileInfo

    @abstractmethod
    async def read(self, size: int) -> bytes:
        """Give the next bytes, up to `size`; none at the end, and only there."""

    async def close(self) -> None:
        """Release what is held."""


class Files(ABC):
    """A directory of a filesystem. Paths are the contract's, below that directory.

    Errors are those of the contract. A path that is not there is `PathNotFoundError`, also where a
    parent of a file to write is missing.
    """

    @staticmethod
    def completed(options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the filesystem's options with what all drivers of the process can share."""
        return options

    @abstractmethod
    async def open(self, *, create: bool) -> None:
        """Connect. With `create`, make the directory if it is missing."""

    async def close(self) -> None:
        """Disconnect. Idempotent."""

    @abstractmethod
    async def exists(self) -> bool:
        """Tell whether the directory itself is there."""

    @abstractmethod
    async def info(self, path: str) -> FileInfo:
        """Tell what is at `path`."""

    async def is_directory(self, path: str) -> bool:
        """Tell whether what is at `path` is a directory, where that costs less than `info`."""
        return (await self.info(path)).is_dir

    @abstractmethod
    async def visit(self, path: str, take: Take) -> None:
        """Give each file and directory directly below the directory `path`, in any order."""

    async def children(self, path: str) -> list[FileInfo]:
        """Give what `visit` gives, at once."""
        found: list[FileInfo] = []
        await self.visit(path, found.append)
        return found

    @abstractmethod
    async def body(self, path: str, options: ReadOptions) -> Body:
        """Open the file at `path`."""

    @abstractmethod
    async def read(self, path: str) -> bytes:
        """Give the whole file."""

    @abstractmethod
    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo | None:
        """Make or replace the file `path`; give what it is then, where that costs nothing."""

    @abstractmethod
    async def remove(self, path: str) -> None:
        """Remove the file `path`."""

    async def remove_many(self, paths: Sequence[str]) -> dict[str, StorageDriverError]:
        """Remove files; give the error of each that is still there."""
        failures: dict[str, StorageDriverError] = {}
        for path in paths:
            try:
                await self.remove(path)
            except PathNotFoundError:
                continue  # somebody else was faster
            except StorageDriverError as error:
                failures[path] = error
        return failures

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        """Give the file `source` the name `target`, of a file that is replaced or of none.

        Raises:
            AlreadyExistsError: `replace` is False, and there is something.
        """
        raise UnsupportedMethodError("the filesystem does not rename")

    async def copy(self, source: str, target: str) -> None:
        """Make or replace the file `target`, with the content of the file `source`."""
        raise UnsupportedMethodError(capability="copy")

    async def concatenate(self, sources: Sequence[str], target: str) -> None:
        """Make or replace the file `target`, with the content of files one after the other."""
        await self.write(target, [await self.read(source) for source in sources])

    async def make_directory(self, path: str) -> None:
        """Make the directory `path`; one that is there is `AlreadyExistsError`."""

    async def remove_directory(self, path: str) -> None:
        """Remove the directory `path`; one that is not empty is any error."""

    async def remove_emptied(self, path: str) -> None:
        """Remove a directory as above, and wait a while for whoever keeps that from being done."""
        await self.remove_directory(path)

    async def remove_all(self, path: str) -> None:
        """Remove a directory of files and nothing else. What is gone already is no error."""
        with suppress(PathNotFoundError):
            for attempt in range(_TRIES):
                for each in await self.children(path):
                    with suppress(PathNotFoundError):
                        await self.remove(each.path)
                try:
                    return await self.remove_directory(path)
                except StorageDriverError:
                    # Somebody's last write may have come in between.
                    if attempt == _TRIES - 1:
                        raise

    async def stamp(self, path: str, stamp: str) -> None:
        """Mark a file, so that the mark goes wherever the file is renamed, and no copy has it."""

    async def stamp_of(self, path: str) -> str:
        """Give a file's mark; nothing where the store keeps none."""
        return ""

    async def local_path(self, path: str) -> str:
        """Give the path of a file for the operating system."""
        raise UnsupportedMethodError(capability="local_path")


class GrowingFiles(Files):
    """A filesystem whose files can be written piece by piece."""

    @abstractmethod
    async def write_at(self, path: str, offset: int, data: Sequence[Buffer]) -> int:
        """Write into a file that is there; give the number of bytes."""

    @abstractmethod
    async def cut(self, path: str, size: int) -> None:
        """Cut a file down to `size` bytes."""

    @abstractmethod
    async def sync(self, path: str) -> None:
        """Make durable what was written to a file, as far as the server offers it."""

    @abstractmethod
    async def copy_start(self, source: str, target: str, size: int) -> None:
        """Make the file `target` of the first `size` bytes of `source`."""

    @abstractmethod
    async def finish(self, path: str, size: int, mark: int) -> FileInfo:
        """Cut a file to `size`, set its time to now, mark and sync it.

        Args:
            path: A file of at least `size` bytes.
            size: Bytes.
            mark: Seconds since 1970 that the time of the last access shall be.
        """

    @abstractmethod
    async def mark(self, path: str) -> int:
        """Give the seconds of the time of the last access."""


def require_size(size: int, least: int) -> None:
    """Raise unless a file that is to be cut holds enough.

    Raises:
        ConflictError: It does not.
    """
    if size < least:
        raise ConflictError(f"the upload holds {size} bytes, not {least}")


def utc(value: object) -> clock.datetime | None:
    """Read a time as filesystems give it; None for what tells no point in time."""
    if isinstance(value, clock.datetime):
        # fsspec asks for aware times; a naive one could be any zone's.
        return value.astimezone(clock.UTC) if value.tzinfo is not None else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return clock.datetime.fromtimestamp(value, clock.UTC)
    if isinstance(value, str):
        try:
            return utc(clock.datetime.fromisoformat(value))
        except ValueError:
            return None
    return None
