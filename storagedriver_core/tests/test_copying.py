"""A copy in parts that is given up leaves nothing, however often it is cancelled meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import Part, Storage, Upload


class SlowDriver(InMemoryDriver):
    """Its copies of parts never end by themselves, and aborts take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.copies, self.aborts, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        self.copies.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody lets it be done")

    async def abort_upload(self, upload: Upload) -> None:
        self.aborts.set()
        await self.go_on.wait()
        await super().abort_upload(upload)


def test_copy_that_is_cancelled_twice_leaves_no_upload() -> None:
    async def run() -> None:
        driver = SlowDriver()
        async with Storage(driver, narrow={"max_single_copy": 4}, part_size=4) as storage:
            await storage.put_content("/a", b"0123456789")
            copying = asyncio.create_task(storage.copy("/a", "/b"))
            await driver.copies.wait()
            copying.cancel()
            await driver.aborts.wait()
            copying.cancel()
            await asyncio.sleep(0)
            driver.go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await copying
            assert [upload async for upload in storage.list_uploads()] == []

    asyncio.run(asyncio.wait_for(run(), 30))
