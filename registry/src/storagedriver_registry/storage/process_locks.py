"""Locks by name between processes that were forked from one: the workers of a server.

A name stands for one byte of a file that has no path and no content; the kernel keeps the lock of
it, and frees that of a process that dies. The file is inherited, so other servers do not see it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import tempfile
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b

from storagedriver_registry.storage.errors import UploadBusyError

_PAUSE_SECONDS = 0.02

# Two names at one place wait for each other without need; a place is less than 2^63.
_PLACE_BYTES = 7


class ProcessLocks:
    """The locks that are shared with every process forked after this was made.

    They are a process's, whichever of its tasks took them: who uses them sees to it that only one
    task wants a name.
    """

    def __init__(self) -> None:
        self._descriptor = _open_nameless_file()
        weakref.finalize(self, os.close, self._descriptor)

    @asynccontextmanager
    async def hold(self, name: str, patience: float) -> AsyncIterator[None]:
        """Have the lock of a name for the length of the block.

        Args:
            name: What is locked.
            patience: Seconds to wait for another process.

        Raises:
            UploadBusyError: Another process has the lock for longer than that.
        """
        place = int.from_bytes(blake2b(name.encode(), digest_size=_PLACE_BYTES).digest(), "big")
        deadline = time.monotonic() + patience
        # Neither call waits for anything, so no thread is needed.
        while not self._try_lock(place):
            if time.monotonic() > deadline:
                raise UploadBusyError
            await asyncio.sleep(_PAUSE_SECONDS)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, place)

    def _try_lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # POSIX lets a system say either
            return False
        return True


def _open_nameless_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("storagedriver-locks")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
