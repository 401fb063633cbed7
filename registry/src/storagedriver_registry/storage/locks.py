"""Locks of local files, by which server processes on one store keep out of each other's way.

The kernel keeps them, and frees those of a process that dies: nothing is left to expire. A stored
file is never changed, but replaced, and its lock goes with the replaced one. So whoever gets a lock
looks whether the file is still the one at the path.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from storagedriver_core import PathNotFoundError, Storage, undo_if_cancelled
from storagedriver_registry.storage.errors import UploadBusyError

_PAUSE_SECONDS = 0.02


@asynccontextmanager
async def locked(storage: Storage, path: str, patience: float) -> AsyncIterator[bool]:
    """Have the lock of a stored file for the length of the block.

    Args:
        storage: A local store.
        path: The file.
        patience: Seconds to wait for another process.

    Yields:
        Whether there is such a file; without one nothing is locked.

    Raises:
        UploadBusyError: Another process has the lock for longer than that.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            place = await storage.local_path(path)
            # Who is cancelled here would else have a lock that nobody gives back.
            descriptor = await undo_if_cancelled(asyncio.to_thread(_try_lock, place), _unlock)
        except (PathNotFoundError, FileNotFoundError):
            yield False
            return
        if descriptor is not None:
            break
        if time.monotonic() > deadline:
            raise UploadBusyError
        await asyncio.sleep(_PAUSE_SECONDS)
    try:
        yield True
    finally:
        os.close(descriptor)


async def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _try_lock(place: str) -> int | None:
    """Give the descriptor that has the lock; None if another has it, or the file was replaced."""
    # To be written, although nothing is: NFS gives such a lock only then.
    descriptor = os.open(place, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), Path(place).stat()):
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
