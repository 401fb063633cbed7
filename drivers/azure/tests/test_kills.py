"""SIGKILL at random moments of many writes: nothing durable is lost, nothing partial is seen."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from storagedriver_azure.harness import AzureHarness
from storagedriver_testsuite import Kit

from storagedriver_core import PathNotFoundError, Storage

PART = 256 * 1024
MOST_BYTES = 4 * 1024 * 1024
MOST_SECONDS_TO_LIVE = 0.3
OLD = b"what was there before"


@dataclass(frozen=True)
class Write:
    """One write; its number says all about it."""

    number: int

    @property
    def path(self) -> str:
        return f"/writes/{self.number}"

    @property
    def replaces(self) -> bool:
        return self.number % 2 == 0

    def content(self) -> bytes:
        source = random.Random(self.number)
        return source.randbytes(source.randint(0, MOST_BYTES))


async def finish_and_write(
    storage: Storage, say: Callable[[Any], None], unfinished: tuple[Write, str] | None, write: Write
) -> None:
    """In a child process: end what the process before was killed in, then begin the next."""
    if unfinished is not None:
        await finish(storage, *unfinished)
    say("writing")
    data = write.content()
    choice = random.Random(-write.number)
    writer = await storage.writer(write.path)
    while writer.offset < len(data):
        await writer.write(data[writer.offset : writer.offset + choice.randint(1, 500_000)])
        if choice.random() < 0.3:
            token = await writer.suspend()
            say(token.to_json())
            writer = await storage.resume(token)
    await writer.commit()
    await asyncio.Event().wait()


async def finish(storage: Storage, write: Write, token: str) -> None:
    """Go on from the last token that the case was told, and commit."""
    data = write.content()
    writer = await storage.resume(token)
    # What the token promises is there; after a commit whose end nobody saw, everything is.
    await writer.write(data[writer.offset :])
    await writer.commit(size=len(data), digest=f"sha256:{hashlib.sha256(data).hexdigest()}")


async def watch(storage: Storage, write: Write) -> None:
    """Look at the object until cancelled: it is the old one, or the new one, whole."""
    old, new = OLD if write.replaces else None, write.content()
    while True:
        seen = None
        with suppress(PathNotFoundError):
            seen = await storage.get_content(write.path)
        assert seen in (old, new)
        await asyncio.sleep(0.02)


async def kill_again_and_again(kit: Kit, kills: int) -> None:
    unfinished = None
    committed = []
    for write in map(Write, range(kills)):
        if write.replaces:
            await kit.seed(write.path, OLD)
        token = await kill_in(kit, unfinished, write)
        if unfinished is not None:
            committed.append(unfinished[0])
        unfinished = (write, token) if token else None
    if unfinished is not None:
        await finish(kit.storage, *unfinished)
        committed.append(unfinished[0])
    assert committed
    for write in committed:
        assert await kit.peek(write.path) == write.content()
    await end_orphans(kit, kills)
    paths = [info.path async for info in kit.storage.walk("/")]
    assert sorted(await kit.harness.raw_list()) == sorted(paths)


async def end_orphans(kit: Kit, kills: int) -> None:
    """What was killed before its first token is left, invisible, for the service to drop.

    The service does so after seven days. Here a put and a list of no block stand for them.
    """
    for name in {line.split()[0] for line in await kit.harness.raw_uploads()}:
        number = int(name.rpartition("/")[2])
        assert number < kills
        write = Write(number)
        async with await kit.storage.writer(write.path) as writer:
            await writer.commit()
    assert not await kit.harness.raw_uploads()


async def kill_in(kit: Kit, unfinished: tuple[Write, str] | None, write: Write) -> str:
    """Kill a process in the middle of a write; give the last token that it said, or nothing."""
    token = ""
    storage = kit.unopened(part_size=PART)
    async with kit.child(finish_and_write, unfinished, write, storage=storage) as child:
        assert await child.said() == "writing"
        watching = asyncio.create_task(watch(kit.storage, write))
        with suppress(TimeoutError):
            async with asyncio.timeout(kit.random.uniform(0, MOST_SECONDS_TO_LIVE)):
                while True:
                    token = await child.said()
        child.kill()
        with suppress(AssertionError):  # there are no more words
            while True:
                token = await child.said()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    return token


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.large)])
def test_writes_that_are_killed_go_on_in_another_process(
    kills: int, azure_harness: AzureHarness
) -> None:
    azure_harness.max_seconds = 60.0 + 15.0 * kills
    kit = Kit(azure_harness)
    kit.run(functools.partial(kill_again_and_again, kit, kills))
