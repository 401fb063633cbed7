"""Signed URLs in a plain HTTP client: ranges from the front, and odd names."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from storagedriver_azure.harness import AzureHarness

from storagedriver_core import Storage


@pytest.mark.parametrize(
    "path", ["/a b/ü?#%41'x", "/a&b=c;d+e", "/%2F", "/a\\b", "/ends.", "/😀", "/~!$()*,:@"]
)
def test_url_has_odd_names_and_takes_ranges(azure_harness: AzureHarness, path: str) -> None:
    async def run() -> None:
        await azure_harness.start()
        try:
            await azure_harness.raw_put(path, b"0123456789")
            async with Storage(azure_harness.driver()) as storage, httpx.AsyncClient() as client:
                url = await storage.redirect_url(path, expires=timedelta(minutes=1))
                whole = await client.get(url)
                assert (whole.status_code, whole.content) == (200, b"0123456789")
                for given, expected in (("bytes=2-4", b"234"), ("bytes=7-", b"789")):
                    part = await client.get(url, headers={"Range": given})
                    assert (part.status_code, part.content) == (206, expected)
        finally:
            await azure_harness.stop()

    asyncio.run(run())
