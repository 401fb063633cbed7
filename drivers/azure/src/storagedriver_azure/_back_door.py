"""The harness's own way to the store: plain HTTP with a shared access signature, and no driver.

Connections are closed at once: any that were kept would be taken for the driver's.
"""

from __future__ import annotations

import asyncio
import re
import xml.etree.ElementTree as ElementTree
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

_ANCHOR = re.compile(r"([0-9a-f]{16})-{11}0{9}")
_LOOKS_AT_ONCE = 16
_MOST_LOOKS = 500
_MIB = 1024 * 1024


class BackDoor:
    """One container, by an account's key."""

    def __init__(self, endpoint: str, account: str, key: str, container: str) -> None:
        self._url = f"{endpoint}/{container}"
        now = datetime.now(UTC)
        self._signature = generate_account_sas(
            account,
            key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(
                read=True, write=True, delete=True, list=True, add=True, create=True
            ),
            start=now - timedelta(minutes=15),
            expiry=now + timedelta(hours=12),
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), trust_env=True
        )

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.close()

    async def make(self) -> None:
        """Make the container."""
        await self._ask("PUT", "", "restype=container")

    async def remove(self) -> None:
        """Delete the container with all that is in it."""
        await self._ask("DELETE", "", "restype=container")

    async def put(self, name: str, data: bytes) -> None:
        """Store a block blob."""
        if len(data) <= _MIB:
            await self._ask("PUT", name, data=data, headers={"x-ms-blob-type": "BlockBlob"})
        else:
            await self.put_blocks(name, data, "an object of the back door")

    async def put_blocks(self, name: str, data: bytes, label: str) -> None:
        """Stage blocks and commit their list, which drops every other block of the blob."""
        blocks = []
        # All ids of a blob's blocks have one length: that of the driver's.
        for number, start in enumerate(range(0, max(len(data), 1), _MIB)):
            block = b64encode(f"{label[:30]:.<30}{number:06}".encode()).decode()
            query = f"comp=block&blockid={quote(block, safe='')}"
            await self._ask("PUT", name, query, data[start : start + _MIB])
            blocks.append(f"<Latest>{block}</Latest>")
        body = f"<BlockList>{''.join(blocks)}</BlockList>".encode()
        await self._ask("PUT", name, "comp=blocklist", body)

    async def get(self, name: str) -> bytes:
        """Give a blob's content."""
        return await self._ask("GET", name)

    async def names(self, *, uncommitted: bool = False) -> list[str]:
        """Name the blobs; with `uncommitted` also those of which there are only blocks."""
        query = "restype=container&comp=list" + ("&include=uncommittedblobs" * uncommitted)
        found: list[str] = []
        marker = ""
        while True:
            page = ElementTree.fromstring(await self._ask("GET", "", f"{query}{marker}"))
            found += [element.text or "" for element in page.iterfind("Blobs/Blob/Name")]
            following = page.findtext("NextMarker")
            if not following:
                return found
            marker = f"&marker={quote(following, safe='')}"

    async def anchors(self) -> list[str]:
        """Name the open uploads: anchors at names without a blob, and at some with one."""
        committed = set(await self.names())
        known = await self.names(uncommitted=True)
        left = iter(
            [
                *(name for name in known if name not in committed),
                *sorted(committed)[:_MOST_LOOKS],
            ]
        )
        found: list[str] = []

        async def look() -> None:
            for name in left:
                body = await self._ask("GET", name, "comp=blocklist&blocklisttype=uncommitted")
                for block in ElementTree.fromstring(body).iterfind("UncommittedBlocks/Block"):
                    label = b64decode(block.findtext("Name") or "").decode(errors="replace")
                    if block.findtext("Size") == "1" and (anchor := _ANCHOR.fullmatch(label)):
                        found.append(f"{name} {anchor[1]}")

        async with asyncio.TaskGroup() as group:
            for _ in range(_LOOKS_AT_ONCE):
                group.create_task(look())
        return found

    async def _ask(
        self, method: str, name: str, query: str = "", data: Any = None, **options: Any
    ) -> bytes:
        path = f"/{quote(name)}" if name else ""
        url = f"{self._url}{path}?{query}&{self._signature}"
        async with self._session.request(method, url, data=data, **options) as response:
            body = await response.read()
            if response.status >= 300:
                raise AssertionError(f"{method} {name} {query}: {response.status} {body!r}")
            return body
