"""Clean-up that a cancellation does not stop half-way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

CLEANUP_SECONDS = 30.0


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, or for so many seconds, however often the caller is cancelled.

    The caller, which is being cancelled, raises that by itself.
    """
    task = asyncio.ensure_future(work)
    deadline = time.monotonic() + CLEANUP_SECONDS
    while not task.done() and (left := deadline - time.monotonic()) > 0:
        try:
            await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError:
            continue
    if not task.cancel():
        task.result()
