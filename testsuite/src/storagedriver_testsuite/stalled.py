"""Readers that nobody reads on, beside which everything else goes on.

Behind a server each is a client that has fallen asleep. The tests of a driver that bounds how many
requests it sends at once call it:

```python
def test_stalled_readers_hold_nobody_up(tmp_path):
    run_stalled(ExampleHarness(tmp_path, {"max_connections": 4}), connections=4)
```
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import AsyncExitStack

from storagedriver_testsuite._harness import Harness
from storagedriver_testsuite._kit import PART, Kit, count_descriptors

# More than a driver takes ahead, so that it is in the middle of it.
_SIZE = 4 * 1024 * 1024

# Reads of whole objects at once.
_WHOLE = 32

# Whatever else this process opens meanwhile.
_OTHER_DESCRIPTORS = 1


def run_stalled(harness: Harness, connections: int, *, max_seconds: float = 60.0) -> None:
    """Open twice as many readers, read the first byte of each, and then do one of everything else.

    Args:
        harness: The store.
        connections: How many requests its driver sends at once.
        max_seconds: How long all of it may take.

    Raises:
        AssertionError: Something was not as it should be, or there were more connections.
        TimeoutError: Something waited for the readers.
    """
    harness.max_seconds = max_seconds
    kit = Kit(harness)
    kit.run(functools.partial(_stall, kit, connections))


async def _stall(kit: Kit, connections: int) -> None:
    large, small = kit.random_bytes(_SIZE), kit.random_bytes(PART + 7)
    await kit.seed("/large", large)
    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(await kit.storage.reader("/large"))
            for _ in range(2 * connections)
        ]
        for reader in readers:
            assert await reader.read(1) == large[:1]
        assert (await kit.storage.stat("/large")).size == _SIZE
        await kit.storage.put_content("/small", b"small")
        assert await kit.storage.get_content("/small") == b"small"
        assert sorted([info.path async for info in kit.storage.list("/")]) == ["/large", "/small"]
        async with await kit.storage.writer("/written") as writer:
            await writer.write(small)
            await writer.commit()
        async with await kit.storage.reader("/written") as another:
            assert await another.read(len(small)) == small
        await kit.storage.delete("/small", recursive=False)
        # Of what needs a connection for a moment each has one of a few.
        before = count_descriptors()
        await asyncio.gather(*(kit.storage.stat("/large") for _ in range(16 * connections)))
        whole = await asyncio.gather(*(kit.storage.get_content("/large") for _ in range(_WHOLE)))
        assert set(whole) == {large}
        opened = count_descriptors() - before
        assert opened <= connections + _OTHER_DESCRIPTORS, f"{opened} connections at once"
        # They have only been waiting.
        assert await readers[0].read(_SIZE) == large[1:]
