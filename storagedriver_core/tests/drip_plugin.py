"""A driver with one large file, `/big`, whose reading stops and waits where it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from storagedriver_core import (
    Buffer,
    ByteStream,
    Capabilities,
    Conditions,
    DriverSpec,
    FileInfo,
    ListOptions,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    StorageDriver,
    hookimpl,
)

CHUNK = 64 * 1024
SIZE = 32 * CHUNK


class DripParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    wait_at: int = SIZE
    etag: str = "one"
    log: Path


class Drip(ByteStream):
    def __init__(self, info: FileInfo, offset: int, wait_at: int) -> None:
        self.info = info
        self._offset = offset
        self._wait_at = wait_at

    async def next_chunk(self) -> bytes:
        if self._offset == self._wait_at < SIZE:
            await asyncio.Event().wait()
        chunk = content(self.info.etag)[self._offset : self._offset + CHUNK]
        self._offset += len(chunk)
        return chunk


class DripDriver(StorageDriver):
    name = "drip"

    def __init__(self, parameters: DripParameters) -> None:
        self._parameters = parameters

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(get_range=True, get_with_conditions=True)

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        if path != "/big":
            raise PathNotFoundError
        return FileInfo(path, SIZE, etag=self._parameters.etag)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        info = await self.stat(path)
        with self._parameters.log.open("a") as log:
            log.write(f"{options.offset}\n")
        return Drip(info, options.offset, self._parameters.wait_at)

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        raise NotImplementedError

    async def delete(self, path: str) -> None:
        raise NotImplementedError

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        yield [await self.stat("/big")]


def content(etag: str | None) -> bytes:
    """What `/big` holds in the version `etag`; no two chunks of it are alike."""
    return b"".join(f"{etag} {number:11}\n".encode() for number in range(SIZE // 16))


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    return [
        DriverSpec(
            name="drip",
            summary="A driver of the tests",
            factory="storagedriver_core.tests.drip_plugin:DripDriver",
            parameters=DripParameters,
        )
    ]
