"""Work that a cancellation does not stop half-way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from storagedriver_core._errors import StorageDriverError

T = TypeVar("T")

CLEANUP_SECONDS = 30.0

_logger = logging.getLogger(__name__)


async def finish(work: Coroutine[Any, Any, T], seconds: float = CLEANUP_SECONDS) -> T:
    """Do `work` to its end, although the caller is cancelled meanwhile, once or many times.

    Args:
        work: What has to be done, clean-up mostly.
        seconds: How long `work` may go on once the caller is cancelled; it is cancelled then.

    Returns:
        What `work` returns.

    Raises:
        CancelledError: The caller was cancelled meanwhile. It comes when `work` is over, in place
            of what that returned or raised.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wait_out(task, seconds)
        raise


async def undo_if_cancelled(
    work: Coroutine[Any, Any, T],
    undo: Callable[[T], Awaitable[object]],
    seconds: float = CLEANUP_SECONDS,
) -> T:
    """Do `work`; if the caller is cancelled meanwhile, see its end and undo what came of it.

    For a request that begins something which only its answer names: without that answer nobody
    could end what was begun.

    Args:
        work: What is begun.
        undo: Ends what `work` returned. Called at most once, and only for a cancelled caller. A
            `StorageDriverError` of it goes to the log.
        seconds: How long `work` and `undo` may go on once the caller is cancelled; they are
            cancelled then.

    Returns:
        What `work` returns.

    Raises:
        CancelledError: The caller was cancelled meanwhile. It comes when all is undone.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wait_out(asyncio.ensure_future(_undo(task, undo)), seconds)
        raise


async def _undo(task: asyncio.Future[T], undo: Callable[[T], Awaitable[object]]) -> None:
    try:
        begun = await task
    except StorageDriverError:
        return
    try:
        await undo(begun)
    except StorageDriverError as error:
        _logger.warning("what a cancelled call has begun may be left: %s", error)


async def _wait_out(task: asyncio.Future[Any], seconds: float) -> None:
    """Wait for the end of a task, however often the caller is cancelled; not longer than that."""
    deadline = time.monotonic() + seconds
    while not task.done() and (left := deadline - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left)
    task.cancel()
