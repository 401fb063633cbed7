"""What tests of the cache run in other processes: `python -m … ROOT CACHE WHAT [SEED]`."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from pathlib import Path

from storagedriver_core import Storage, load_plugins
from storagedriver_core.middleware.cache import CacheMiddleware, CacheParameters

MAX_BYTES = 2_000_000
OBJECTS = 20
LARGE = random.Random(0).randbytes(1_900_000)  # several chunks


def storage(root: Path, cache: Path) -> Storage:
    plugins = load_plugins()
    spec = plugins.driver("filesystem")
    driver = plugins.load_factory(spec)(spec.parameters(root_directory=root))
    parameters = CacheParameters(
        directory=cache, max_bytes=MAX_BYTES, max_object_bytes=MAX_BYTES, immutable=("/still",)
    )
    return Storage(CacheMiddleware(driver, parameters))


def content(number: int) -> bytes:
    """Give the bytes of an object: of many sizes, and nowhere the same."""
    return random.Random(number).randbytes(50_000 + 23_456 * number)


async def half(store: Storage) -> None:
    """Read one object half-way, say so, and wait for the end."""
    async with await store.reader("/still/large") as reader:
        await reader.read(100_000)
        print("half", flush=True)
        await asyncio.sleep(600)


async def many(store: Storage, seed: int) -> None:
    """Read objects again and again, and say how often it was another content."""
    chosen = random.Random(seed)
    wrong = 0

    async def some() -> None:
        nonlocal wrong
        for _ in range(25):
            number = chosen.randrange(OBJECTS)
            data = await store.get_content(f"/still/{number}")
            wrong += hashlib.sha256(data).digest() != hashlib.sha256(content(number)).digest()

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(some())
    print("wrong", wrong, flush=True)


async def main(root: str, cache: str, what: str, seed: str = "0") -> None:
    async with storage(Path(root), Path(cache)) as store:
        await (half(store) if what == "half" else many(store, int(seed)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
