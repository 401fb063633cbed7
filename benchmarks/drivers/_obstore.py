"""obstore: Rust's object_store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import obstore
from obstore.store import ObjectStore

from benchmarks.drivers._contender import (
    MIB,
    PAGE,
    PART_BYTES,
    PARTS_IN_FLIGHT,
    Contender,
    Role,
    Source,
    Take,
)


class Obstore(Contender):
    """One of its stores.

    Args:
        make: Makes the store.
        unable: What it cannot do on this server.
    """

    role: Role = "obstore"
    label = "obstore"
    packages = ("obstore",)

    def __init__(
        self, make: Callable[[], ObjectStore], unable: Mapping[str, str] | None = None
    ) -> None:
        self._make = make
        self.unable = unable or {}

    async def open(self) -> None:
        self._store = self._make()

    async def aclose(self) -> None:
        del self._store

    async def put_large(self, name: str, source: Source) -> None:
        await obstore.put_async(
            self._store,
            name,
            source.whole,
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_IN_FLIGHT,
        )

    async def get_large(self, name: str, take: Take) -> None:
        answer = await obstore.get_async(self._store, name)
        async for chunk in answer.stream(min_chunk_size=MIB):
            take(chunk)

    async def put(self, name: str, data: bytes) -> None:
        await obstore.put_async(self._store, name, data)

    async def get(self, name: str) -> memoryview:
        answer = await obstore.get_async(self._store, name)
        return memoryview(await answer.bytes_async())

    async def stat(self, name: str) -> int:
        return (await obstore.head_async(self._store, name))["size"]

    async def list(self, directory: str) -> int:
        answer = await obstore.list_with_delimiter_async(self._store, directory)
        return len(answer["objects"])

    async def walk(self, directory: str) -> int:
        count = 0
        async for some in obstore.list(self._store, directory, chunk_size=PAGE):
            count += len(some)
        return count
