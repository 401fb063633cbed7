"""Any blocking filesystem, by nothing but what fsspec promises of all of them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    ConflictError,
    FileInfo,
    InvalidOffsetError,
    PathNotFoundError,
    ReadOptions,
    StorageDriverError,
    byte_range,
    child_prefix,
    parent,
)
from storagedriver_fsspec._errors import RefusedError, translated, translating
from storagedriver_fsspec._files import Body, Files, Take, utc
from storagedriver_fsspec._names import PUTS, new_name

logger = logging.getLogger(__name__)

_TIMES = ("mtime", "modified", "last_modified", "LastModified", "modify", "updated", "created")


class WholeBody(Body):
    """A range of bytes that are in memory.

    Raises:
        InvalidOffsetError: The offset is beyond the end.
        ConflictError: The conditions do not hold.
    """

    def __init__(self, info: FileInfo, data: bytes, options: ReadOptions) -> None:
        check_range(info, options)
        self.info = info
        self._data = data
        self._position, self._end = byte_range(info.size, options)

    async def read(self, size: int) -> bytes:
        end = min(self._position + size, self._end)
        piece = self._data[self._position : end]
        self._position = end
        return piece


def check_range(info: FileInfo, options: ReadOptions) -> None:
    """Check what was asked against the file that is there.

    Raises:
        InvalidOffsetError: The offset is beyond the end.
        ConflictError: The conditions do not hold.
    """
    if options.conditions is not None and not options.conditions.hold_for(info):
        raise ConflictError("the conditions do not hold")
    if options.offset > info.size:
        raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)


class PlainFiles(Files):
    """A directory of a blocking fsspec filesystem.

    Files are read and written whole: fsspec's file objects publish what is half-written.

    Args:
        make: Makes the filesystem; called when the driver is opened.
        root: The directory.
    """

    def __init__(self, make: Callable[[], Any], root: str) -> None:
        self._make = make
        self._root = root.rstrip("/")
        self._fs: Any = None

    async def open(self, *, create: bool) -> None:
        self._fs = self._make()
        if create and not await self.exists():
            with translating(writing=True):
                self._fs.makedirs(self._root or "/", exist_ok=True)

    async def close(self) -> None:
        self._fs = None

    @translated()
    async def exists(self) -> bool:
        return not self._root or bool(self._fs.isdir(self._root))

    @translated()
    async def info(self, path: str) -> FileInfo:
        return file_info(self._fs.info(self._at(path)), path)

    @translated()
    async def visit(self, path: str, take: Take) -> None:
        place = self._at(path)
        visit_listed(self._fs.ls(place, detail=True), place, path, take)

    async def body(self, path: str, options: ReadOptions) -> Body:
        info = await self.info(path)
        if info.is_dir:
            raise PathNotFoundError("a directory is not a file")
        data = await self.read(path)
        return WholeBody(file_info({"type": "file", "size": len(data)}, path, info), data, options)

    @translated()
    async def read(self, path: str) -> bytes:
        return bytes(self._fs.cat_file(self._at(path)))

    @translated(writing=True)
    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo | None:
        self._fs.pipe_file(self._at(path), b"".join(data))
        return None

    @translated(writing=True, changing=True)
    async def remove(self, path: str) -> None:
        self._fs.rm_file(self._at(path))

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        # Not every server replaces; one that does need not do it in one step.
        there = await self._look(target)
        if there is not None and (there.is_dir or not replace):
            raise AlreadyExistsError(path=target)
        try:
            await self._mv(source, target)
        except (AlreadyExistsError, RefusedError):
            if there is None:
                raise
            await self._replace(source, target)

    async def _replace(self, source: str, target: str) -> None:
        """Take the name from the file that has it; that one is removed when the other has it."""
        # No name that a purge knows: if this process is killed in between, it is all that is left.
        aside = f"{PUTS}/kept-{new_name(target)}"
        try:
            await self._set_aside(target, aside)
            await self._mv(source, target)
        except BaseException as error:
            await self._put_back(aside, target, error)
            raise
        await self._remove_kept(aside, target)

    async def _set_aside(self, path: str, aside: str) -> None:
        try:
            await self._mv(path, aside)
        except (PathNotFoundError, RefusedError):
            for directory in (parent(PUTS), PUTS):
                with suppress(StorageDriverError):
                    await self.make_directory(directory)
            await self._mv(path, aside)

    async def _put_back(self, aside: str, target: str, error: BaseException) -> None:
        try:
            await self._mv(aside, target)
        except StorageDriverError:
            if isinstance(error, StorageDriverError):
                error.outcome = "unknown"
            # The old file may have it still, or the new one already: a reply may have been lost.
            if await self._is_there(target):
                await self._remove_kept(aside, target)
            else:
                logger.error("what was at %s is kept at %s", target, aside)

    async def _remove_kept(self, aside: str, target: str) -> None:
        try:
            await self.remove(aside)
        except PathNotFoundError:
            pass
        except StorageDriverError:
            logger.warning("what was at %s before is left at %s", target, aside)

    async def _is_there(self, path: str) -> bool:
        try:
            return not await self.is_directory(path)
        except StorageDriverError:
            return False

    @translated(writing=True, changing=True)
    async def _mv(self, source: str, target: str) -> None:
        self._fs.mv(self._at(source), self._at(target))

    @translated(writing=True)
    async def copy(self, source: str, target: str) -> None:
        self._fs.cp_file(self._at(source), self._at(target))

    @translated(writing=True)
    async def concatenate(self, sources: Sequence[str], target: str) -> None:
        # A file of this machine is what every filesystem takes piece by piece.
        with tempfile.NamedTemporaryFile(prefix="storagedriver-") as spool:
            for source in sources:
                spool.write(await self.read(source))
            spool.flush()
            self._fs.put_file(spool.name, self._at(target))

    @translated(writing=True)
    async def make_directory(self, path: str) -> None:
        self._fs.mkdir(self._at(path), create_parents=False)

    @translated(writing=True)
    async def remove_directory(self, path: str) -> None:
        self._fs.rmdir(self._at(path))

    async def _look(self, path: str) -> FileInfo | None:
        try:
            return await self.info(path)
        except PathNotFoundError:
            return None

    def _at(self, path: str) -> str:
        return self._root + path if path != "/" else self._root or "/"


def file_info(found: Mapping[str, Any], path: str, like: FileInfo | None = None) -> FileInfo:
    """Give what fsspec's `info` says, in the contract's words.

    Args:
        found: What the filesystem said.
        path: The contract's path.
        like: Where the time is from, if `found` has none.

    Raises:
        PathNotFoundError: It is neither a file nor a directory.
    """
    kind = found.get("type")
    if kind == "directory":
        return FileInfo(path, is_dir=True)
    if kind != "file":
        raise PathNotFoundError("neither a file nor a directory", path=path)
    if found.get("size") is None:
        raise StorageDriverError("the filesystem does not know the size", path=path)
    times = (utc(found[name]) for name in _TIMES if found.get(name) is not None)
    time = next((time for time in times if time is not None), like.mod_time if like else None)
    etag = found.get("ETag") or found.get("etag")
    return FileInfo(path, int(found["size"]), time, etag=str(etag) if etag else None)


def visit_listed(found: Sequence[Mapping[str, Any]], place: str, path: str, take: Take) -> None:
    """Give what fsspec's `ls` says of a directory, in the contract's words.

    Raises:
        PathNotFoundError: It is a file: fsspec lists one as its own only member.
    """
    prefix = child_prefix(path)
    start = place.strip("/")
    for each in found:
        name = str(each["name"]).strip("/")
        if name == start:
            if each.get("type") == "file" and len(found) == 1:
                raise PathNotFoundError("a file is not a directory", path=path)
            continue  # some list the directory itself
        if each.get("type") in ("file", "directory"):
            take(file_info(each, prefix + name.rpartition("/")[2]))
