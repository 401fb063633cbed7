"""Servers within a test, and who asks them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from storagedriver_inmemory import InMemoryDriver
from storagedriver_remote._config import RemoteConfig
from storagedriver_remote._driver import RemoteDriver
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service

from storagedriver_core import Storage, StorageDriver

BOUND = 60.0
"""Seconds until something that has to happen has not."""


def run(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run_it(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run_it


@asynccontextmanager
async def served(
    listen: str,
    driver: StorageDriver | None = None,
    tokens: Sequence[str] = (),
    **options: Any,
) -> AsyncIterator[str]:
    service = Service(Storage(driver or InMemoryDriver()), **options)
    async with listening(service, listen, tokens) as address:
        yield address


def remote(address: str, **options: Any) -> RemoteDriver:
    return RemoteDriver(RemoteConfig(connect=address, **options))


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND):
        while not is_so():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)
