"""This project's own: `Storage`, as `open_storage` makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from benchmarks.drivers._contender import Contender, Role, Source, Take
from storagedriver_core import FileInfo, open_storage


class Ours(Contender):
    """A driver below `Storage`; the large object goes through writer and reader.

    Args:
        driver: Name of the driver.
        parameters: Its configuration.
    """

    role: Role = "ours"

    def __init__(self, driver: str, parameters: Mapping[str, Any]) -> None:
        self.label = f"`Storage` on the {driver} driver"
        self.packages = ("storagedriver-core", f"storagedriver-{driver}")
        self._storage = open_storage({"storage": {"driver": driver, "parameters": parameters}})

    async def open(self) -> None:
        await self._storage.open()

    async def aclose(self) -> None:
        await self._storage.aclose()

    async def put_large(self, name: str, source: Source) -> None:
        # No other contender computes a digest.
        async with await self._storage.writer(f"/{name}", hashes=()) as writer:
            for chunk in source.chunks:
                await writer.write(chunk)
            await writer.commit()

    async def get_large(self, name: str, take: Take) -> None:
        async with await self._storage.reader(f"/{name}") as reader:
            async for chunk in reader:
                take(chunk)

    async def put(self, name: str, data: bytes) -> None:
        await self._storage.put_content(f"/{name}", data)

    async def get(self, name: str) -> bytes:
        return await self._storage.get_content(f"/{name}")

    async def stat(self, name: str) -> int:
        return (await self._storage.stat(f"/{name}")).size

    async def list(self, directory: str) -> int:
        return await self._count(self._storage.list(f"/{directory}"))

    async def walk(self, directory: str) -> int:
        return await self._count(self._storage.walk(f"/{directory}"))

    @staticmethod
    async def _count(entries: AsyncIterator[FileInfo]) -> int:
        count = 0
        async for entry in entries:
            assert entry.mod_time is not None
            count += 1
        return count
