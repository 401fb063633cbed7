from __future__ import annotations

import asyncio

from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import Storage


def test_stores_repeat_no_etag_of_each_other() -> None:
    async def etags() -> set[str | None]:
        async with Storage(InMemoryDriver()) as storage:
            return {(await storage.put_content("/a", data)).etag for data in (b"1", b"2")}

    first, second = asyncio.run(etags()), asyncio.run(etags())
    assert len(first | second) == 4
