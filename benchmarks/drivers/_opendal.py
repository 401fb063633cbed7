"""Apache OpenDAL."""

from __future__ import annotations

from typing import Any

import opendal

from benchmarks.drivers._contender import (
    MIB,
    PART_BYTES,
    PARTS_IN_FLIGHT,
    Contender,
    Role,
    Source,
    Take,
)


class OpenDal(Contender):
    """Its asynchronous operator.

    Args:
        scheme: Name of the service.
        options: Its configuration.
        multipart: Put a large object in parts.
    """

    role: Role = "OpenDAL"
    label = "OpenDAL"
    packages = ("opendal",)

    def __init__(self, scheme: str, options: dict[str, str], *, multipart: bool = True) -> None:
        self._scheme = scheme
        self._options = options
        self._parts = {"chunk": PART_BYTES, "concurrent": PARTS_IN_FLIGHT} if multipart else {}

    async def open(self) -> None:
        # Its stubs disagree with what it does: `__aexit__` is to be awaited.
        self._operator: Any = opendal.AsyncOperator(self._scheme, **self._options)

    async def aclose(self) -> None:
        del self._operator

    async def put_large(self, name: str, source: Source) -> None:
        await self._operator.write(name, source.whole, **self._parts)

    async def get_large(self, name: str, take: Take) -> None:
        async with await self._operator.open(name, "rb") as file:
            while chunk := await file.read(MIB):
                take(chunk)

    async def put(self, name: str, data: bytes) -> None:
        await self._operator.write(name, data)

    async def get(self, name: str) -> bytes:
        data: bytes = await self._operator.read(name)
        return data

    async def stat(self, name: str) -> int:
        size: int = (await self._operator.stat(name)).content_length
        return size

    async def list(self, directory: str) -> int:
        return await self._count(await self._operator.list(f"{directory}/"))

    async def walk(self, directory: str) -> int:
        return await self._count(await self._operator.scan(f"{directory}/"))

    @staticmethod
    async def _count(entries: Any) -> int:
        count = 0
        async for entry in entries:
            # A store that has directories tells of the one that is listed, too.
            count += not entry.path.endswith("/")
        return count
