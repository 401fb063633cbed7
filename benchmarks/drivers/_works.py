"""What is done, each the same few calls for every contender, and at which sizes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.drivers._contender import MIB, Contender, Source
from benchmarks.drivers._tasks import each_of

SMALL_BYTES = 4096
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done.

    Attributes:
        large: Bytes of the large object.
        small: Number of small objects.
        entries: Numbers of files that are listed and walked.
    """

    large: int = 64 * MIB
    small: int = 500
    entries: Sequence[int] = (10_000, 100_000)


QUICK = Sizes(large=9 * MIB, small=5, entries=(30,))


@dataclass(frozen=True)
class Material:
    """What the works move.

    Attributes:
        sizes: How much.
        judge: Puts what others read, and reads what others have put; None where each has a store of
            its own, and is its own judge.
        source: The bytes of large objects.
        small: Those of small ones.
    """

    sizes: Sizes
    judge: Contender | None
    source: Source
    small: bytes = field(default_factory=lambda: os.urandom(SMALL_BYTES))

    def judge_of(self, contender: Contender) -> Contender:
        """Give who sees to what this one does."""
        return self.judge or contender


Step = Callable[[Contender, Material], Awaitable[None]]


async def _nothing(contender: Contender, material: Material) -> None:
    """Need nothing."""


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Attributes:
        name: For who cannot do it.
        title: In the table.
        run: Does it, and checks sizes and numbers.
        verify: Does it once, and checks every byte; None where `run` checks all that there is.
        prepare: Stores what it needs, by the contender that is given; no sooner, since some servers
            get slow with many objects.
        rounds: Rounds at most: some take long.
    """

    name: str
    title: str
    run: Step
    verify: Step | None = None
    prepare: Step = _nothing
    rounds: int = 1000


def works(sizes: Sizes) -> list[Work]:
    """Give all works, in the order in which they are done."""
    large, small = f"{sizes.large // MIB} MiB", f"{sizes.small:,}"
    return [
        Work("put-large", f"put {large}", _put_large, _check_put_large),
        Work("get-large", f"get {large}", _get_large, _check_get_large, _prepare_large),
        Work("put-small", f"{small} puts of 4 KiB", _put_small, _check_put_small),
        Work("get-small", f"{small} gets of 4 KiB", _get_small, _get_small, _prepare_small),
        Work("stat", f"{small} stats", _stat, _stat),
        *(work for count in sizes.entries for work in _of_many(count)),
    ]


def _of_many(count: int) -> list[Work]:
    def look(walks: bool) -> Step:
        async def run(contender: Contender, material: Material) -> None:
            call = contender.walk if walks else contender.list
            found = await call(f"many-{count}")
            assert found == count, f"{contender.label} found {found} of {count}"

        return run

    rounds = 5 if count < 50_000 else 2
    prepare = partial(_put_many, directory=f"many-{count}", count=count)
    return [
        Work("list", f"list of {count:,}", look(False), prepare=prepare, rounds=rounds),
        Work("walk", f"walk of {count:,}", look(True), rounds=rounds),
    ]


async def _put_large(contender: Contender, material: Material) -> None:
    await contender.put_large(f"large/{_own(contender)}", material.source)


async def _check_put_large(contender: Contender, material: Material) -> None:
    await _put_large(contender, material)
    digest = hashlib.sha256()
    judge = material.judge_of(contender)
    await judge.get_large(f"large/{_own(contender)}", digest.update)
    assert digest.hexdigest() == material.source.sha256, f"{contender.label} put other bytes"


async def _prepare_large(contender: Contender, material: Material) -> None:
    await contender.put_large("large/object", material.source)


async def _get_large(contender: Contender, material: Material) -> None:
    sizes: list[int] = []
    await contender.get_large("large/object", lambda chunk: sizes.append(len(chunk)))
    assert sum(sizes) == len(material.source)


async def _check_get_large(contender: Contender, material: Material) -> None:
    digest = hashlib.sha256()
    await contender.get_large("large/object", digest.update)
    assert digest.hexdigest() == material.source.sha256, f"{contender.label} got other bytes"


async def _put_many(contender: Contender, material: Material, directory: str, count: int) -> None:
    async def put(number: int) -> None:
        await contender.put(f"{directory}/{number:06}", material.small)

    await each_of(range(count), put, at_once=AT_ONCE)


async def _put_small(contender: Contender, material: Material) -> None:
    await _put_many(contender, material, f"puts-{_own(contender)}", material.sizes.small)


async def _check_put_small(contender: Contender, material: Material) -> None:
    await _put_small(contender, material)

    async def look(number: int) -> None:
        data = await material.judge_of(contender).get(f"puts-{_own(contender)}/{number:06}")
        assert data == material.small, f"{contender.label} put other bytes"

    await each_of(range(material.sizes.small), look, at_once=AT_ONCE)


async def _prepare_small(contender: Contender, material: Material) -> None:
    await _put_many(contender, material, "small", material.sizes.small)


async def _get_small(contender: Contender, material: Material) -> None:
    async def get(number: int) -> None:
        data = await contender.get(f"small/{number:06}")
        assert data == material.small, f"{contender.label} got other bytes"

    await each_of(range(material.sizes.small), get, at_once=AT_ONCE)


async def _stat(contender: Contender, material: Material) -> None:
    async def stat(number: int) -> None:
        size = await contender.stat(f"small/{number:06}")
        assert size == len(material.small), f"{contender.label} found another size"

    await each_of(range(material.sizes.small), stat, at_once=AT_ONCE)


def _own(contender: Contender) -> str:
    return contender.role.replace(" ", "-").lower()
