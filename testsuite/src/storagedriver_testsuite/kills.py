"""SIGKILL at random moments of many uploads, each of which another process goes on with.

A driver's own tests call it with a harness:

```python
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.large)])
def test_uploads_that_are_killed_go_on_in_another_process(kills, tmp_path):
    run_kills(ExampleHarness(tmp_path), kills)
```
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from storagedriver_core import PathNotFoundError, Storage, is_internal
from storagedriver_testsuite._harness import Harness
from storagedriver_testsuite._kit import Kit

OLD = b"what was there before"


@dataclass(frozen=True, slots=True)
class Write:
    """One write; its numbers say all about it.

    Attributes:
        number: Which one it is.
        seed: Of the whole run.
        most_bytes: Bytes at most.
    """

    number: int
    seed: int
    most_bytes: int

    @property
    def path(self) -> str:
        """Where it is published."""
        return f"/writes/{self.number}"

    @property
    def replaces(self) -> bool:
        """Whether something is there before."""
        return self.number % 2 == 0

    def random(self) -> random.Random:
        """Give the source of its choices."""
        return random.Random(f"{self.seed} {self.number}")

    def content(self) -> bytes:
        """Give its bytes."""
        source = self.random()
        return source.randbytes(source.randint(0, self.most_bytes))


@dataclass(slots=True)
class Run:
    """What has been seen.

    Attributes:
        with_token: Kills after which a process went on with a token.
        without_token: Kills before the first token.
        committed: The writes that have been ended, each of which was checked.
    """

    with_token: int = 0
    without_token: int = 0
    committed: list[Write] = field(default_factory=list)


def run_kills(
    harness: Harness,
    count: int,
    seed: int = 20141222,
    *,
    narrow: Mapping[str, Any] | None = None,
    part_size: int | None = None,
    most_bytes: int | None = None,
    most_seconds: float = 0.3,
) -> Run:
    """Kill `count` processes in the middle of writes, and let others go on with their tokens.

    Meanwhile the object that each one writes is watched: it is the old one, or none, until it is
    the new one, whole. Every durable byte of a token is there for the next process; what is
    published has its digest; after a purge no upload and no file of the driver's own is left, by
    the harness's own listing. Where a driver does not list uploads, those that were killed before
    their first token are left to the store, and only sidecars count.

    Args:
        harness: The store; `count` processes after one another open it.
        count: How many processes are killed.
        seed: Makes the same writes each time; the moments of the kills are random anyhow.
        narrow: Capabilities to narrow.
        part_size: Bytes of a part; the least that the driver takes if not given.
        most_bytes: Bytes of a write at most; six parts, or 4 MiB, if not given.
        most_seconds: How long a process lives at most after its first write has begun.

    Returns:
        What has been seen, to be printed or checked.

    Raises:
        AssertionError: Something was lost, half-written or left behind.
    """
    declared = harness.driver().capabilities.narrow(narrow or {})
    part = part_size or max(declared.min_part_size, 256 * 1024)
    most = most_bytes or max(6 * part, 4 * 1024 * 1024)
    harness.max_seconds = 60.0 + 15.0 * count
    kit = Kit(harness, narrow=narrow, part_size=part)
    kit.random.seed(seed)
    kit.may_leave_uploads = not declared.list_uploads
    run = Run()
    writes = [Write(number, seed, most) for number in range(count)]
    kit.run(functools.partial(_kill_again_and_again, kit, run, writes, most_seconds))
    return run


async def _finish_and_write(
    storage: Storage, say: Callable[[Any], None], unfinished: tuple[Write, str] | None, write: Write
) -> None:
    """In a child process: end what the process before was killed in, then begin the next."""
    if unfinished is not None:
        await _finish(storage, *unfinished)
    say("writing")
    data, choice = write.content(), random.Random(-write.number)
    writer = await storage.writer(write.path)
    while writer.offset < len(data):
        piece = choice.randint(1, max(len(data) // 8, 1))
        await writer.write(data[writer.offset : writer.offset + piece])
        if choice.random() < 0.3:
            token = await writer.suspend()
            say(token.to_json())
            writer = await storage.resume(token)
    await writer.commit()
    await asyncio.Event().wait()


async def _finish(storage: Storage, write: Write, token: str) -> None:
    """Go on from the last token that was told, and commit."""
    data = write.content()
    writer = await storage.resume(token)
    # What the token promises is there; after a commit whose end nobody saw, everything is.
    await writer.write(data[writer.offset :])
    await writer.commit(size=len(data), digest=f"sha256:{hashlib.sha256(data).hexdigest()}")


async def _watch(storage: Storage, write: Write) -> None:
    """Look at the object until cancelled: it is the old one, or the new one, whole."""
    old, new = OLD if write.replaces else None, write.content()
    while True:
        seen = None
        with suppress(PathNotFoundError):
            seen = await storage.get_content(write.path)
        assert seen in (old, new), f"{write.path}: neither the old nor the new object shows"
        await asyncio.sleep(0.001)


async def _kill_again_and_again(
    kit: Kit, run: Run, writes: list[Write], most_seconds: float
) -> None:
    unfinished = None
    for write in writes:
        if write.replaces:
            await kit.seed(write.path, OLD)
        token = await _kill_in(kit, unfinished, write, most_seconds)
        if unfinished is not None:
            run.committed.append(unfinished[0])
        unfinished = (write, token) if token else None
        if token:
            run.with_token += 1
        else:
            run.without_token += 1
    if unfinished is not None:
        await _finish(kit.storage, *unfinished)
        run.committed.append(unfinished[0])
    for write in run.committed:
        assert await kit.peek(write.path) == write.content(), f"{write.path} is another one"
    await _check_nothing_is_left(kit, run)


async def _check_nothing_is_left(kit: Kit, run: Run) -> None:
    """What was killed before its first token is left over, and the purge finds it."""
    if kit.capabilities.list_uploads:
        await kit.storage.purge_uploads(older_than=timedelta(0))
        assert not await kit.harness.raw_uploads()
        paths = [info.path async for info in kit.storage.walk("/")]
        left = await kit.harness.raw_list()
        assert len(left) == len(paths), f"left after the purge: {sorted(set(left) - set(paths))}"
    else:
        await _drop_sidecars(kit, most=run.without_token)


async def _drop_sidecars(kit: Kit, most: int) -> None:
    """Only who died before a token was told can have left a sidecar that nobody knows of."""
    names = await kit.harness.raw_list()
    sidecars = [name for name in names if name.startswith("/") and is_internal(name)]
    uploads = {name.rpartition("/")[0] for name in sidecars}
    assert len(uploads) <= most, f"sidecars are left: {sidecars}"
    driver = kit.harness.driver()
    await driver.open()
    try:
        await driver.delete_many(sidecars)
    finally:
        await driver.aclose()


async def _kill_in(
    kit: Kit, unfinished: tuple[Write, str] | None, write: Write, most_seconds: float
) -> str:
    """Kill a process in the middle of a write; give the last token that it said, or nothing."""
    token = ""
    async with kit.child(_finish_and_write, unfinished, write) as child:
        assert await child.said() == "writing"
        watching = asyncio.create_task(_watch(kit.storage, write))
        with suppress(TimeoutError):
            async with asyncio.timeout(kit.random.uniform(0, most_seconds)):
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
