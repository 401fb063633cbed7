"""Azure's own client, which adlfs and so the azure driver are built on, called directly."""

from __future__ import annotations

import base64

from azure.storage.blob import BlobBlock
from azure.storage.blob.aio import ContainerClient

from benchmarks.drivers._contender import (
    PAGE,
    PARTS_IN_FLIGHT,
    Contender,
    Role,
    Source,
    Take,
)
from benchmarks.drivers._tasks import each_of


class AzureSdk(Contender):
    """The asynchronous client of one container.

    Args:
        connection: The connection string.
        container: The container.
    """

    role: Role = "raw"
    label = "azure-storage-blob's asynchronous client"
    packages = ("azure-storage-blob", "azure-core", "aiohttp")

    def __init__(self, connection: str, container: str) -> None:
        self._container = ContainerClient.from_connection_string(connection, container)

    async def create_container(self) -> None:
        """Make the container."""
        async with self._container:
            await self._container.create_container()

    async def open(self) -> None:
        await self._container.__aenter__()

    async def aclose(self) -> None:
        await self._container.close()

    async def put_large(self, name: str, source: Source) -> None:
        blob = self._container.get_blob_client(name)
        ids = [base64.b64encode(b"%06d" % i).decode() for i in range(len(source.parts))]

        async def send(number: int) -> None:
            part = source.parts[number]
            await blob.stage_block(ids[number], part, len(part))

        await each_of(range(len(ids)), send, at_once=PARTS_IN_FLIGHT)
        await blob.commit_block_list([BlobBlock(each) for each in ids])

    async def get_large(self, name: str, take: Take) -> None:
        download = await self._container.download_blob(name, max_concurrency=1)
        async for chunk in download.chunks():
            take(chunk)

    async def put(self, name: str, data: bytes) -> None:
        await self._container.upload_blob(name, data, overwrite=True)

    async def get(self, name: str) -> bytes:
        download = await self._container.download_blob(name)
        return await download.readall()

    async def stat(self, name: str) -> int:
        properties = await self._container.get_blob_client(name).get_blob_properties()
        return properties.size

    async def list(self, directory: str) -> int:
        count = 0
        async for _ in self._container.walk_blobs(
            f"{directory}/", delimiter="/", results_per_page=PAGE
        ):
            count += 1
        return count

    async def walk(self, directory: str) -> int:
        count = 0
        async for _ in self._container.list_blobs(f"{directory}/", results_per_page=PAGE):
            count += 1
        return count
