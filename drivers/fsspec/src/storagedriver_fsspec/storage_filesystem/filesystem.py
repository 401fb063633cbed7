"""Any configured storage as an fsspec filesystem."""

from __future__ import annotations

import asyncio
import errno
import os
import weakref
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from storagedriver_core import (
    Conditions,
    ConflictError,
    FileInfo,
    PathNotFoundError,
    Storage,
    open_storage,
)
from storagedriver_fsspec.storage_filesystem.file import StorageFile
from storagedriver_fsspec.storage_filesystem.local import LocalSource, LocalTarget

Entry: TypeAlias = dict[str, Any]
"""What fsspec knows of one file or directory: `name`, `size` and `type` at least."""


class StorageFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files of a configured storage, by fsspec's interface.

    A directory is there while something lies below it, as in an object store: `mkdir` does nothing.
    A file that is written shows when it is closed, whole; left by an exception it does not show.

    Args:
        config: The storage: a YAML file, or its contents as a mapping. fsspec's own configuration
            can give it, too, as in `FSSPEC_STORAGEDRIVER_CONFIG=storage.yml`.
        asynchronous: Whether the caller awaits the methods that begin with `_`.
        **options: What fsspec takes: `loop`, `batch_size`, `use_listings_cache`, ...

    Raises:
        ConfigurationError: At the first use: the configuration is wrong, by key and line.
        TypeError: `config` is missing.
    """

    protocol = "storagedriver"
    root_marker = "/"

    def __init__(
        self,
        config: str | Path | Mapping[str, Any],
        *,
        asynchronous: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(asynchronous=asynchronous, **options)
        self._config = config
        self._opened: Storage | None = None
        self._opening: asyncio.Lock | None = None

    @staticmethod
    def of(storage: Storage) -> StorageFileSystem:
        """Give the filesystem of an open storage, for its own event loop.

        The methods that begin with `_` are awaited. Whoever opened the storage closes it.
        """
        return _OfStorage(storage)

    @classmethod
    def _strip_protocol(cls, path: str | list[str]) -> str | list[str]:
        if isinstance(path, list):
            return [cast("str", cls._strip_protocol(item)) for item in path]
        path = os.fspath(path).removeprefix("storagedriver://")
        return "/" + path.strip("/")

    async def storage(self) -> Storage:
        """Give the storage, opened at the first use."""
        if self._opened is None:
            self._opening = self._opening or asyncio.Lock()
            async with self._opening:
                if self._opened is None:
                    storage = open_storage(self._config)
                    await storage.open()
                    self._opened = storage
                    if not self.asynchronous:
                        weakref.finalize(self, _close, self.loop, storage).atexit = False
        return self._opened

    # Looking -----------------------------------------------------------------------------------

    async def _info(self, path: str, **_: Any) -> Entry:
        storage = await self.storage()
        return _entry(await storage.stat(_stripped(path)))

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Entry] | list[str]:
        storage, path = await self.storage(), _stripped(path)
        try:
            entries = [_entry(info) async for info in _each(storage.list(path))]
        except (PathNotFoundError, ConflictError):
            info = await storage.stat(path)
            if info.is_dir:
                raise
            entries = [_entry(info)]
        return entries if detail else [entry["name"] for entry in entries]

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **options: Any
    ) -> dict[str, Entry] | list[str]:
        if maxdepth is not None or withdirs:
            found: dict[str, Entry] | list[str] = await super()._find(
                path, maxdepth=maxdepth, withdirs=withdirs, **options
            )
            return found
        storage, path = await self.storage(), _stripped(path)
        try:
            infos = [info async for info in _each(storage.walk(path))]
        except (PathNotFoundError, ConflictError):
            infos = []
        if not infos:
            with suppress(PathNotFoundError):
                info = await storage.stat(path)
                infos = [] if info.is_dir else [info]
        entries = {info.path: _entry(info) for info in sorted(infos, key=lambda info: info.path)}
        return entries if options.get("detail") else list(entries)

    def modified(self, path: str) -> datetime:
        """Give the time of a file's last change, by the store's clock."""
        return cast("datetime", self.info(path)["modified"])

    def sign(self, path: str, expiration: float = 100, **_: Any) -> str:
        """Give a URL at which a plain HTTP client can read a file for `expiration` seconds."""
        return cast("str", sync(self.loop, self._sign, path, expiration))

    async def _sign(self, path: str, expiration: float) -> str:
        storage = await self.storage()
        return await storage.redirect_url(_stripped(path), expires=timedelta(seconds=expiration))

    # Reading -----------------------------------------------------------------------------------

    async def _cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        *,
        etag: str | None = None,
        **_: Any,
    ) -> bytes:
        storage, path = await self.storage(), _stripped(path)
        if start is None and end is None:
            return await storage.get_content(path)
        start = start or 0
        if start < 0 or (end is not None and end < 0):
            size = (await storage.stat(path)).size
            start = max(0, size + start) if start < 0 else start
            end = size + end if end is not None and end < 0 else end
        if end is not None and end <= start:
            return b""
        length = None if end is None else end - start
        conditions = None if etag is None else Conditions(if_match=etag)
        async with await storage.reader(
            path, offset=start, length=length, conditions=conditions
        ) as reader:
            return await reader.read()

    async def _get_file(
        self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        storage, rpath = await self.storage(), _stripped(rpath)
        info = await storage.stat(rpath)
        if info.is_dir:
            Path(lpath).mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # as quick as a call
            return
        callback.set_size(info.size)
        async with await storage.reader(rpath) as reader:
            with LocalTarget(lpath, callback) as target:
                async for chunk in reader:
                    target.write(chunk)

    # Writing -----------------------------------------------------------------------------------

    async def _pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", **options: Any
    ) -> None:
        storage = await self.storage()
        await storage.put_content(
            _stripped(path),
            value,
            if_absent=mode == "create",
            content_type=options.get("content_type"),
        )

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        mode: str = "overwrite",
        callback: Callback = DEFAULT_CALLBACK,
        **options: Any,
    ) -> None:
        if Path(lpath).is_dir():  # noqa: ASYNC240  # as quick as a call
            return
        storage = await self.storage()
        with LocalSource(lpath, callback) as source:
            await storage.put_content(
                _stripped(rpath),
                cast("BinaryIO", source),
                if_absent=mode == "create",
                content_type=options.get("content_type"),
            )

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Do nothing: a directory is there while something lies below it."""

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        if not exist_ok and await self._exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def rmdir(self, path: str) -> None:
        """Refuse a directory that holds something; another is not there.

        Raises:
            OSError: Something lies below it.
            FileNotFoundError: Nothing does.
        """
        if self.ls(path, detail=False):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | str | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> StorageFile:
        return StorageFile(
            self,
            path,
            mode=mode,
            block_size=block_size or "default",
            autocommit=autocommit,
            cache_options=cache_options,
            **options,
        )

    # Moving and deleting -----------------------------------------------------------------------

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        storage = await self.storage()
        if not await self._isdir(path1):
            await storage.copy(_stripped(path1), _stripped(path2))

    async def _mv_file(self, path1: str, path2: str) -> None:
        storage = await self.storage()
        await storage.move(_stripped(path1), _stripped(path2))

    async def _rm_file(self, path: str, **_: Any) -> None:
        storage = await self.storage()
        await storage.delete(_stripped(path), recursive=False)

    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        if not recursive or maxdepth is not None:
            await super()._rm(path, recursive=recursive, batch_size=batch_size, maxdepth=maxdepth)
            return
        storage = await self.storage()
        for each in await self._expand_path(path):
            await storage.delete(each, everything=True)


class _OfStorage(StorageFileSystem):
    """Of a storage that is open already.

    fsspec would give the first one's filesystem for the second, too, if the two look alike.
    """

    cachable = False

    def __init__(self, storage: Storage) -> None:
        super().__init__({}, asynchronous=True)
        self._opened = storage


def _stripped(path: str) -> str:
    return cast("str", StorageFileSystem._strip_protocol(path))


def _entry(info: FileInfo) -> Entry:
    if info.is_dir:
        return {"name": info.path, "size": 0, "type": "directory"}
    return {
        "name": info.path,
        "size": info.size,
        "type": "file",
        "modified": info.mod_time,
        "etag": info.etag,
        "content_type": info.content_type,
    }


async def _each(infos: AsyncGenerator[FileInfo, None]) -> AsyncGenerator[FileInfo, None]:
    async with aclosing(infos):
        async for info in infos:
            yield info


def _close(loop: asyncio.AbstractEventLoop, storage: Storage) -> None:
    """Close a storage that nobody holds any more.

    Nothing is waited for: the garbage collector calls this in any thread, the loop's own as well.
    """
    if loop.is_running():
        closing = storage.aclose()
        loop.call_soon_threadsafe(_keep_until_done, loop, closing)


_CLOSING: set[asyncio.Task[None]] = set()


def _keep_until_done(loop: asyncio.AbstractEventLoop, closing: Coroutine[Any, Any, None]) -> None:
    task = loop.create_task(closing)
    # One that nobody holds may vanish before it is done.
    _CLOSING.add(task)
    task.add_done_callback(_CLOSING.discard)
