"""Clean-up that a cancellation does not stop half-way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

CLEANUP_SECONDS = 30.0


async def finish(work: Coroutine[Any, Any, None], seconds: float = CLEANUP_SECONDS) -> None:
    """Run `work` to its end, although the caller is cancelled meanwhile, once or many times.

    The cancellation is raised when `work` is over, or after `seconds`; `work` is then cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        deadline = time.monotonic() + seconds
        while not task.done() and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError:
                continue
        task.cancel()
        raise
