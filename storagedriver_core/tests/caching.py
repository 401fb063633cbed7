"""A storage with a cache in front of a store that tells what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    ByteStream,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
)
from storagedriver_core.middleware.cache import CacheMiddleware, CacheParameters
from storagedriver_core.tests.faults import Faults

MIB = 1024 * 1024
CHUNK = 200_000
DATA = bytes(range(256)) * 12_345  # no multiple of a block


class Store(Faults):
    """A store far away: it notes what it is asked, and sends in small chunks."""

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return Chunks(self, await super().open_reader(path, options))

    async def put(self, path: str, data: bytes = DATA) -> None:
        """Store an object behind the back of the cache."""
        await self.driver.put_content(path, data, PutOptions())


class Chunks(ByteStream):
    """What the store sends, in small chunks."""

    def __init__(self, store: Store, stream: ByteStream) -> None:
        self.info = stream.info
        self._store = store
        self._stream = stream
        self._rest = b""

    async def next_chunk(self) -> bytes:
        self._store.calls.append("chunk")
        await asyncio.sleep(0)
        if not self._rest:
            self._rest = await self._stream.next_chunk()
        chunk, self._rest = self._rest[:CHUNK], self._rest[CHUNK:]
        return chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class Cached:
    """A storage with a cache, and what is behind it."""

    def __init__(self, folder: Path, store: StorageDriver | None = None, **given: Any) -> None:
        self.folder = folder
        self.store = store if isinstance(store, Store) else Store(store or InMemoryDriver())
        parameters = CacheParameters(**{"directory": folder, "max_bytes": 64 * MIB, **given})
        self.driver = CacheMiddleware(self.store, parameters)
        self.storage = Storage(self.driver)

    def asked(self) -> list[str]:
        """Give what the store was asked since the last time."""
        calls = [call for call in self.store.calls if call not in ("chunk", "read")]
        self.store.calls.clear()
        return calls

    def entries(self) -> list[Path]:
        return [path for path in (self.folder / "entries").rglob("*") if path.is_file()]

    def filling(self) -> list[Path]:
        return list((self.folder / "filling").iterdir())

    def used(self) -> int:
        return sum(path.stat().st_size for path in (*self.entries(), *self.filling()))

    def accounts(self) -> int:
        return int((self.folder / "accounts").read_bytes())


def run(folder: Path, test: Callable[[Cached], Awaitable[None]], **given: Any) -> None:
    async def main() -> None:
        cached = Cached(folder, **given)
        async with cached.storage:
            await test(cached)
            assert cached.accounts() == cached.used()

    asyncio.run(main())


async def read(storage: Storage, path: str = "/a", **options: Any) -> bytes:
    async with await storage.reader(path, **options) as reader:
        return await reader.read()
