"""Directories come in the order of their names, and no more of them is read than is taken."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver
from storagedriver_registry.storage.directories import directories

from storagedriver_core import FileInfo, ListOptions, PathNotFoundError, Storage

# The slash after a name sorts after `-` and `.`, and before everything else.
NAMES = sorted(
    "".join(each) for size in (1, 2, 3) for each in itertools.product("a-.0", repeat=size)
)
NAMES = [name for name in NAMES if name[0] not in "-."]


class Listed(InMemoryDriver):
    """Remembers what it was asked to list, and how much it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str | None] = []
        self.given = 0

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        self.asked.append(options.start_after)
        async with aclosing(super().list(path, options)) as pages:
            async for page in pages:
                self.given += len(page)
                yield page


async def made(names: Sequence[str], driver: Listed, **narrow: Any) -> Storage:
    storage = Storage(driver, narrow=narrow)
    await storage.open()
    for name in names:
        await storage.put_content(f"/d/{name}/link", b"x")
    await storage.put_content("/d/file", b"x")
    return storage


@pytest.mark.parametrize("narrow", [{}, {"ordered_walk": False}, {"walk_with_start_after": False}])
def test_names_are_in_byte_order_from_any_of_them_on(narrow: dict[str, bool]) -> None:
    async def look() -> None:
        async with aclosing(await made(NAMES, Listed(), **narrow)) as storage:
            for start in ["", *NAMES, "a-a/", "b"]:
                found = [name async for name in directories(storage, "/d", start)]
                assert found == [name for name in NAMES if name >= start]

    asyncio.run(look())


def test_what_is_not_taken_is_not_listed() -> None:
    async def look() -> None:
        names = [f"e{number:05}" for number in range(5000)]
        driver = Listed()
        async with aclosing(await made(names, driver)) as storage:
            async with aclosing(directories(storage, "/d", names[2500])) as found:
                assert [await anext(found) for _ in range(10)] == names[2500:2510]
            assert driver.asked == [f"/d/{names[2500]}"]
            assert driver.given <= 1000

    asyncio.run(look())


def test_a_directory_that_is_not_there_is_none() -> None:
    async def look() -> None:
        async with aclosing(await made([], Listed())) as storage:
            with pytest.raises(PathNotFoundError):
                [name async for name in directories(storage, "/missing")]

    asyncio.run(look())
