"""Work that a cancellation must not stop half-way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from storagedriver_core import StorageDriverError

T = TypeVar("T")

CLEANUP_SECONDS = 30.0


async def undone_if_cancelled(
    work: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[None]]
) -> T:
    """Do `work`; if the caller is cancelled meanwhile, see its end and undo what came of it.

    Without its answer nobody could name what a cancelled request has begun at the service.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:

        async def see_and_undo() -> None:
            await undo(await task)

        await finished(see_and_undo())
        task.cancel()
        raise


async def finished(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end although the caller is cancelled meanwhile, but not for ever.

    What it raises of the contract's errors is dropped: the caller is about to raise another.
    """
    task = asyncio.ensure_future(work)
    deadline = time.monotonic() + CLEANUP_SECONDS
    while not task.done() and (left := deadline - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left)
    if not task.done():
        task.cancel()
    with suppress(StorageDriverError, asyncio.CancelledError):
        await task
