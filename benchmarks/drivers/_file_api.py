"""The libraries' own high-level file interface: fsspec's, asynchronous."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from benchmarks.drivers._contender import Contender, Role, Source, Take


class FileApi(Contender):
    """`_pipe_file`, `_cat_file`, `_info`, `_ls` and `_find`, as fast as they go: without caches.

    Args:
        library: Name of the library.
        make: Makes its filesystem, on the running event loop.
        close: Lets a filesystem go.
        bucket: The bucket.
        large: Options of `_pipe_file` for a large object.
        unable: What it cannot do on this server.
    """

    role: Role = "file API"

    def __init__(
        self,
        library: str,
        make: Callable[[], Any],
        close: Callable[[Any], Awaitable[object]],
        bucket: str,
        large: Mapping[str, int] | None = None,
        unable: Mapping[str, str] | None = None,
    ) -> None:
        self.label = f"{library}'s `_pipe_file`, `_cat_file`, `_info`, `_ls` and `_find`"
        self.packages = (library, "fsspec")
        self._make = make
        self._close = close
        self._bucket = bucket
        self.unable = unable or {}
        self._large = dict(large or {})
        self._files: Any = None

    async def open(self) -> None:
        self._files = self._make()

    async def aclose(self) -> None:
        await self._close(self._files)

    async def put_large(self, name: str, source: Source) -> None:
        await self._files._pipe_file(self._path(name), source.whole, **self._large)

    async def get_large(self, name: str, take: Take) -> None:
        take(await self._files._cat_file(self._path(name)))

    async def put(self, name: str, data: bytes) -> None:
        await self._files._pipe_file(self._path(name), data)

    async def get(self, name: str) -> bytes:
        data: bytes = await self._files._cat_file(self._path(name))
        return data

    async def stat(self, name: str) -> int:
        # A fresh answer, as of every other contender: some look in what a listing left behind.
        self._files.invalidate_cache()
        size: int = (await self._files._info(self._path(name)))["size"]
        return size

    async def list(self, directory: str) -> int:
        self._files.invalidate_cache()
        return len(await self._files._ls(self._path(directory), detail=True))

    async def walk(self, directory: str) -> int:
        self._files.invalidate_cache()
        return len(await self._files._find(self._path(directory), detail=True))

    def _path(self, name: str) -> str:
        return f"{self._bucket}/{name}"
