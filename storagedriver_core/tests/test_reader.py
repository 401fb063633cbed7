"""What a reader is asked for that makes no sense, and the size of chunks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import ClosedError, Storage, open_storage


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 2, "chunk_size": 0}, "at least 1"),
        ({"concurrency": 2, "chunk_size": -1}, "at least 1"),
        ({"concurrency": 0}, "at least 1"),
        ({"suffix": 1, "offset": 1}, "suffix stands alone"),
        ({"suffix": 1, "length": 1}, "suffix stands alone"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    async def read() -> None:
        async with Storage(InMemoryDriver()) as storage:
            await storage.put_content("/a", b"content")
            async with await storage.reader("/a", **options) as reader:
                await reader.read()

    with pytest.raises(ValueError, match=message):
        asyncio.run(read())


def test_chunks_have_the_size_that_is_wished_for_from_the_next_one_on() -> None:
    async def read() -> None:
        async with Storage(InMemoryDriver()) as storage:
            await storage.put_content("/a", bytes(100))
            async with await storage.reader("/a") as reader:
                reader.set_chunk_size(40)
                assert len(await anext(reader)) == 40
                reader.set_chunk_size(7)
                assert len(await anext(reader)) == 7
                await reader.seek(47)
                assert len(await anext(reader)) == 7
                with pytest.raises(ValueError, match="at least 1 byte"):
                    reader.set_chunk_size(0)
                assert len(await reader.read()) == 46
            with pytest.raises(ClosedError):
                reader.set_chunk_size(1)

    asyncio.run(read())


@pytest.mark.parametrize(
    "middleware",
    [
        *({"retry": {}}, {"limit": {"concurrency": 8}}, {"timeout": {}}, {"metrics": {}}),
        *({"checksum": {}}, {"chaos": {"rate": 0}}, {"prefix": {"prefix": "/b"}}),
    ],
    ids=lambda middleware: next(iter(middleware)),
)
def test_middlewares_pass_the_wish_on(middleware: dict[str, Any]) -> None:
    async def read() -> None:
        config = {"driver": "inmemory", "middleware": [middleware]}
        async with open_storage({"storage": config}) as storage:
            await storage.put_content("/a", bytes(100))
            async with await storage.reader("/a") as reader:
                for size in (40, 7):
                    reader.set_chunk_size(size)
                    assert len(await anext(reader)) == size

    asyncio.run(read())
