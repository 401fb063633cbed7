"""gcsfs's low-level calls, which the gcs driver is built on."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

from gcsfs.core import GCSFileSystem, initiate_upload, upload_chunk

from benchmarks.drivers._contender import PAGE, Contender, Role, Source, Take


class GcsfsCalls(Contender):
    """`_call`, and the functions for uploads, of a filesystem with a session of its own.

    Args:
        url: Where the server is asked.
        bucket: The bucket.
        token: Who asks, as gcsfs takes it.
    """

    role: Role = "raw"
    label = "gcsfs's `_call` and `upload_chunk`"
    packages = ("gcsfs", "aiohttp")

    def __init__(self, url: str, bucket: str, token: str = "anon") -> None:
        self._url = url
        self._bucket = bucket
        self._token = token
        self._calls: Any = None
        self._session: Any = None

    async def open(self) -> None:
        self._calls = GCSFileSystem(
            token=self._token,
            endpoint_url=self._url,
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
        )
        self._session = await self._calls._set_session()

    async def aclose(self) -> None:
        await self._session.close()

    async def put_large(self, name: str, source: Source) -> None:
        kind = "application/octet-stream"
        session = await initiate_upload(self._calls, self._bucket, name, kind)
        offset = 0
        for part in source.parts:
            await upload_chunk(self._calls, session, part, offset, len(source), kind)
            offset += len(part)

    async def get_large(self, name: str, take: Take) -> None:
        # It reads the whole body before it gives any.
        take(await self.get(name))

    async def put(self, name: str, data: bytes) -> None:
        # Without the description of `simple_upload`, which makes a body of two parts.
        url = f"{self._url}/upload/storage/v1/b/{self._bucket}/o"
        await self._calls._call("POST", url, uploadType="media", name=name, data=data)

    async def get(self, name: str) -> bytes:
        url = f"{self._url}/download/storage/v1/b/{self._bucket}/o/{quote(name, safe='')}"
        _, data = await self._calls._call("GET", url, alt="media")
        assert isinstance(data, bytes)
        return data

    async def stat(self, name: str) -> int:
        answer = await self._calls._call("GET", "b/{}/o/{}", self._bucket, name, json_out=True)
        return int(answer["size"])

    async def list(self, directory: str) -> int:
        return await self._count(directory, delimiter="/")

    async def walk(self, directory: str) -> int:
        return await self._count(directory)

    async def _count(self, directory: str, **how: str) -> int:
        count = 0
        next_page: dict[str, str] = {}
        while True:
            _, body = await self._calls._call(
                "GET",
                "b/{}/o",
                self._bucket,
                prefix=f"{directory}/",
                maxResults=PAGE,
                **how,
                **next_page,
            )
            page = json.loads(body)
            # The names, sizes and times that a listing is for; other clients give them ready.
            entries = [
                (each["name"], int(each["size"]), datetime.fromisoformat(each["updated"]))
                for each in page["items"]
            ]
            count += len(entries)
            if not page.get("nextPageToken"):
                return count
            next_page = {"pageToken": page["nextPageToken"]}
