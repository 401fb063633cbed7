"""aiobotocore, which s3fs and so the s3 driver are built on, called directly."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from benchmarks.drivers._contender import (
    CONNECTIONS,
    MIB,
    PAGE,
    PARTS_IN_FLIGHT,
    Contender,
    Role,
    Source,
    Take,
)
from benchmarks.drivers._tasks import each_of
from servers._s3 import S3Server


class AioBotocore(Contender):
    """The client as it comes, with enough connections.

    Args:
        server: The server.
        url: Where it is asked.
        bucket: The bucket.
    """

    role: Role = "raw"
    label = "aiobotocore's client"
    packages = ("aiobotocore", "botocore", "aiohttp")

    def __init__(self, server: S3Server, url: str, bucket: str) -> None:
        self._server = server
        self._url = url
        self._bucket = bucket
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        making = AioSession().create_client(
            "s3",
            endpoint_url=self._url,
            region_name=self._server.region,
            aws_access_key_id=self._server.access_key,
            aws_secret_access_key=self._server.secret_key,
            config=AioConfig(max_pool_connections=CONNECTIONS, s3={"addressing_style": "path"}),
        )
        self._client = await self._stack.enter_async_context(making)

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def put_large(self, name: str, source: Source) -> None:
        place = {"Bucket": self._bucket, "Key": name}
        upload = await self._client.create_multipart_upload(**place)
        place["UploadId"] = upload["UploadId"]
        etags: dict[int, str] = {}

        async def send(number: int) -> None:
            body = source.parts[number - 1]
            answer = await self._client.upload_part(**place, PartNumber=number, Body=body)
            etags[number] = answer["ETag"]

        await each_of(range(1, len(source.parts) + 1), send, at_once=PARTS_IN_FLIGHT)
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        await self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})

    async def get_large(self, name: str, take: Take) -> None:
        answer = await self._client.get_object(Bucket=self._bucket, Key=name)
        async with answer["Body"] as body:
            while chunk := await body.read(MIB):
                take(chunk)

    async def put(self, name: str, data: bytes) -> None:
        await self._client.put_object(Bucket=self._bucket, Key=name, Body=data)

    async def get(self, name: str) -> bytes:
        answer = await self._client.get_object(Bucket=self._bucket, Key=name)
        async with answer["Body"] as body:
            data: bytes = await body.read()
            return data

    async def stat(self, name: str) -> int:
        answer = await self._client.head_object(Bucket=self._bucket, Key=name)
        size: int = answer["ContentLength"]
        return size

    async def list(self, directory: str) -> int:
        return await self._count(directory, Delimiter="/")

    async def walk(self, directory: str) -> int:
        return await self._count(directory)

    async def _count(self, directory: str, **how: str) -> int:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{directory}/", MaxKeys=PAGE, **how
        )
        count = 0
        async for page in pages:
            count += len(page["Contents"])
        return count
