"""Any asynchronous filesystem, by the low-level coroutines that fsspec promises of all of them.

Most are stores of objects: keys that only look like paths, no directories, no rename, and a put
that is seen whole or not at all.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from storagedriver_core import (
    Buffer,
    FileInfo,
    PathNotFoundError,
    ReadOptions,
    StorageDriverError,
)
from storagedriver_fsspec._errors import translated
from storagedriver_fsspec._files import Body, Files, Take
from storagedriver_fsspec._filesystem import refusing
from storagedriver_fsspec._plain import WholeBody, file_info, visit_listed

_AT_ONCE = 16
_IN_MEMORY_BYTES = 64 * 1024 * 1024


class RemoteFiles(Files):
    """A directory, or a prefix of keys, of an asynchronous fsspec filesystem.

    Args:
        make: Makes the filesystem; called when the driver is opened.
        root: The directory.
    """

    def __init__(self, make: Callable[[], Any], root: str) -> None:
        self._make = make
        self._root = root.strip("/")
        self._fs: Any = None
        self._session: Any = None

    @translated()
    async def open(self, *, create: bool) -> None:
        self._fs = self._make()
        if hasattr(self._fs, "set_session"):
            with refusing(type(self._fs), self._fs.storage_options):
                self._session = await self._fs.set_session()

    async def close(self) -> None:
        session, self._session, self._fs = self._session, None, None
        # Source: the docstring of fsspec's `set_session`: "to be closed later with await .close()".
        if session is not None:
            await session.close()

    @translated()
    async def exists(self) -> bool:
        # A prefix is there when something begins with it; the bucket before it has to be.
        try:
            await self._fs._info(self._root.partition("/")[0])
        except FileNotFoundError:
            return False
        return True

    @translated()
    async def info(self, path: str) -> FileInfo:
        return file_info(await self._fs._info(self._at(path)), path)

    async def visit(self, path: str, take: Take) -> None:
        try:
            await self._visit(path, take)
        except PathNotFoundError:
            if path != "/":
                raise

    @translated()
    async def _visit(self, path: str, take: Take) -> None:
        place = self._at(path)
        visit_listed(await self._fs._ls(place, detail=True), place, path, take)

    async def body(self, path: str, options: ReadOptions) -> Body:
        info = await self.info(path)
        if info.is_dir:
            raise PathNotFoundError("a directory is not a file")
        # In one request: a second could be answered from another version.
        data = await self.read(path)
        return WholeBody(FileInfo(path, len(data), info.mod_time, etag=info.etag), data, options)

    @translated()
    async def read(self, path: str) -> bytes:
        return bytes(await self._fs._cat_file(self._at(path)))

    @translated(writing=True, changing=True)
    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo | None:
        await self._fs._pipe_file(self._at(path), b"".join(data))
        return None

    @translated(writing=True, changing=True)
    async def remove(self, path: str) -> None:
        await self._fs._rm_file(self._at(path))

    async def remove_many(self, paths: Sequence[str]) -> dict[str, StorageDriverError]:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def remove(path: str) -> dict[str, StorageDriverError]:
            async with slots:
                return await Files.remove_many(self, [path])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(remove(path)) for path in paths]
        return {path: error for task in tasks for path, error in task.result().items()}

    @translated(writing=True, changing=True)
    async def copy(self, source: str, target: str) -> None:
        await self._fs._cp_file(self._at(source), self._at(target))

    async def concatenate(self, sources: Sequence[str], target: str) -> None:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, prefix="storagedriver-") as spool:
            for source in sources:
                piece = await self.read(source)
                await asyncio.to_thread(spool.write, piece)
            size = spool.tell()
            if size <= _IN_MEMORY_BYTES:
                spool.seek(0)
                await self.write(target, [spool.read()])
            else:
                # A file of this machine is what every filesystem takes piece by piece.
                await asyncio.to_thread(spool.flush)
                await self._put_file(f"/proc/self/fd/{spool.fileno()}", target)

    @translated(writing=True, changing=True)
    async def _put_file(self, local: str, target: str) -> None:
        await self._fs._put_file(local, self._at(target))

    def _at(self, path: str) -> str:
        return f"{self._root}{path}" if path != "/" else self._root
