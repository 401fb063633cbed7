"""SIGKILL at random moments of many writes: nothing durable is lost, nothing partial is seen."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from storagedriver_filesystem.harness import FilesystemHarness
from storagedriver_testsuite import Kit

from storagedriver_core import PathNotFoundError, Storage

MOST_BYTES = 4 * 1024 * 1024
MOST_SECONDS_TO_LIVE = 0.08
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
        await asyncio.sleep(0.001)


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
    for write in committed:
        assert await kit.peek(write.path) == write.content()
    # What was killed before its first token is left over, and the purge finds it.
    await kit.storage.purge_uploads(older_than=timedelta(0))
    assert not await kit.harness.raw_uploads()
    paths = [info.path async for info in kit.storage.walk("/")]
    assert len(await kit.harness.raw_list()) == len(paths)


async def kill_in(kit: Kit, unfinished: tuple[Write, str] | None, write: Write) -> str:
    """Kill a process in the middle of a write; give the last token that it said, or nothing."""
    token = ""
    async with kit.child(finish_and_write, unfinished, write) as child:
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


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.large)])
def test_writes_that_are_killed_go_on_in_another_process(kills: int, tmp_path: Path) -> None:
    harness = FilesystemHarness(tmp_path)
    harness.max_seconds = 30.0 + 5.0 * kills
    kit = Kit(harness)
    kit.run(functools.partial(kill_again_and_again, kit, kills))
