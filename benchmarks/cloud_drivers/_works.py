"""What is done: six works, each the same few calls for every contender."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from benchmarks.cloud_drivers._contender import MIB, Contender, Source
from benchmarks.cloud_drivers._tasks import each_of

LARGE_BYTES = 64 * MIB
SMALL_BYTES = 4096
SMALL_OBJECTS = 500
LISTED_OBJECTS = 2000
AT_ONCE = 16


@dataclass(frozen=True)
class Material:
    """What the works move.

    Attributes:
        judge: Puts what others read, and reads what others have put.
        source: The bytes of large objects.
        small: Those of small ones.
    """

    judge: Contender
    source: Source = field(default_factory=lambda: Source(LARGE_BYTES))
    small: bytes = field(default_factory=lambda: os.urandom(SMALL_BYTES))

    async def put_large(self) -> None:
        """Store what is read at length."""
        await self.judge.put_large("large/object", self.source)

    async def put_small(self) -> None:
        """Store what is read and looked at."""
        await self._put_many("small", SMALL_OBJECTS)

    async def put_listed(self) -> None:
        """Store what is listed."""
        await self._put_many("listed", LISTED_OBJECTS)

    async def _put_many(self, directory: str, count: int) -> None:
        async def put(number: int) -> None:
            await self.judge.put(f"{directory}/{number:04}", self.small)

        await each_of(range(count), put, at_once=AT_ONCE)


Step = Callable[[Contender, Material], Awaitable[None]]


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes:
        title: Its name.
        run: Does it, and checks sizes and numbers.
        verify: Does it once, and checks every byte.
        prepare: Stores what it needs; no sooner, since some servers get slow with many objects.
    """

    title: str
    run: Step
    verify: Step
    prepare: Callable[[Material], Awaitable[None]] | None = None


async def _put_large(contender: Contender, material: Material) -> None:
    await contender.put_large(f"large/{_own(contender)}", material.source)


async def _check_put_large(contender: Contender, material: Material) -> None:
    await _put_large(contender, material)
    digest = hashlib.sha256()
    await material.judge.get_large(f"large/{_own(contender)}", digest.update)
    assert digest.hexdigest() == material.source.sha256, f"{contender.label} put other bytes"


async def _get_large(contender: Contender, material: Material) -> None:
    sizes: list[int] = []
    await contender.get_large("large/object", lambda chunk: sizes.append(len(chunk)))
    assert sum(sizes) == len(material.source)


async def _check_get_large(contender: Contender, material: Material) -> None:
    digest = hashlib.sha256()
    await contender.get_large("large/object", digest.update)
    assert digest.hexdigest() == material.source.sha256, f"{contender.label} got other bytes"


async def _put_small(contender: Contender, material: Material) -> None:
    directory = f"puts-{_own(contender)}"

    async def put(number: int) -> None:
        await contender.put(f"{directory}/{number:04}", material.small)

    await each_of(range(SMALL_OBJECTS), put, at_once=AT_ONCE)


async def _check_put_small(contender: Contender, material: Material) -> None:
    await _put_small(contender, material)

    async def look(number: int) -> None:
        data = await material.judge.get(f"puts-{_own(contender)}/{number:04}")
        assert data == material.small, f"{contender.label} put other bytes"

    await each_of(range(SMALL_OBJECTS), look, at_once=AT_ONCE)


async def _get_small(contender: Contender, material: Material) -> None:
    async def get(number: int) -> None:
        data = await contender.get(f"small/{number:04}")
        assert data == material.small, f"{contender.label} got other bytes"

    await each_of(range(SMALL_OBJECTS), get, at_once=AT_ONCE)


async def _stat(contender: Contender, material: Material) -> None:
    async def stat(number: int) -> None:
        size = await contender.stat(f"small/{number:04}")
        assert size == len(material.small), f"{contender.label} found another size"

    await each_of(range(SMALL_OBJECTS), stat, at_once=AT_ONCE)


async def _list(contender: Contender, material: Material) -> None:
    count = await contender.list("listed")
    assert count == LISTED_OBJECTS, f"{contender.label} listed {count} of {LISTED_OBJECTS}"


def _own(contender: Contender) -> str:
    return contender.role.replace(" ", "-").lower()


PUT_LARGE = Work("put 64 MiB", _put_large, _check_put_large)
GET_LARGE = Work("get 64 MiB", _get_large, _check_get_large, Material.put_large)
PUT_SMALL = Work("500 puts of 4 KiB", _put_small, _check_put_small)
GET_SMALL = Work("500 gets of 4 KiB", _get_small, _get_small, Material.put_small)
STAT = Work("500 stats", _stat, _stat)
LIST = Work("list of 2,000", _list, _list, Material.put_listed)

WORKS = (PUT_LARGE, GET_LARGE, PUT_SMALL, GET_SMALL, STAT, LIST)
