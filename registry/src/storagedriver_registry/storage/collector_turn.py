"""Of several collectors on one store, one at a time is at work.

On a local store the kernel's lock of a file sees to it, and frees that of a process that dies.
Elsewhere it is a word in a file, which its owner replaces every `RENEW_SECONDS`. An owner that
could not for `LIFE_SECONDS` gives up; a word that has not changed for `DEAD_SECONDS`, by the clock
of who watches it, is of a collector that died.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from storagedriver_core import AlreadyExistsError, Storage, StorageDriverError, finish
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.errors import UploadBusyError
from storagedriver_registry.storage.garbage_scan import GarbageError
from storagedriver_registry.storage.locks import locked
from storagedriver_registry.storage.markers import Marker, Markers, State

logger = logging.getLogger(__name__)

RENEW_SECONDS = 3.0
LIFE_SECONDS = 10.0
DEAD_SECONDS = 15.0
_LOOK_SECONDS = 0.5


class CollectorBusyError(GarbageError):
    """Another collector is at work."""

    def __init__(self) -> None:
        super().__init__("another collector is at work on this storage")


@asynccontextmanager
async def collector_turn(storage: Storage) -> AsyncIterator[None]:
    """Be the only collector for the length of the block.

    Raises:
        CollectorBusyError: Another one is at work, or has taken over.
    """
    if storage.capabilities.local_path:
        with suppress(AlreadyExistsError):
            await storage.put_content(paths.GARBAGE_COLLECTOR, b"", if_absent=True)
        try:
            async with locked(storage, paths.GARBAGE_COLLECTOR, 0.0) as is_locked:
                if not is_locked:
                    raise CollectorBusyError
                yield
        except UploadBusyError:
            raise CollectorBusyError from None
        return
    turn = _Turn(Markers(storage), await _begin(Markers(storage)))
    try:
        async with asyncio.timeout(LIFE_SECONDS) as limit:
            renewing = asyncio.create_task(turn.renew(limit))
            try:
                yield
            finally:
                await finish(turn.end(renewing))
    except TimeoutError:
        if not limit.expired():
            raise
        raise CollectorBusyError from None


class _Turn:
    """One collector's turn."""

    def __init__(self, markers: Markers, marker: Marker) -> None:
        self._markers = markers
        self._marker: Marker | None = marker
        self._stopping = asyncio.Event()

    async def renew(self, limit: asyncio.Timeout) -> None:
        """Renew it until it is ended or lost; the limit is when it is lost."""
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RENEW_SECONDS)
            if self._stopping.is_set() or limit.expired() or self._marker is None:
                return
            began = clock()
            try:
                self._marker = await self._markers.replace(self._marker, State.KEPT)
            except StorageDriverError as error:
                logger.info("the collector's turn is not renewed: %s", error)
                continue
            if not limit.expired():
                limit.reschedule(began + LIFE_SECONDS if self._marker else clock())

    async def end(self, renewing: asyncio.Task[None]) -> None:
        """Give it back, unless it is lost."""
        self._stopping.set()
        # A renewal on its way is waited for: it says which word is stored.
        await asyncio.wait({renewing})
        if self._marker is not None:
            # The file stays: a deletion could hit the turn of the next one.
            await self._markers.replace(self._marker, State.SWEPT)


async def _begin(markers: Markers) -> Marker:
    """Take the turn, if nobody has it."""
    clock = asyncio.get_running_loop().time
    path = paths.GARBAGE_COLLECTOR
    began, first = clock(), await markers.read(path)
    while True:
        marker = await markers.read(path)
        if marker is None:
            taken = await markers.add(path, State.KEPT)
        elif marker.state is State.SWEPT or clock() - began > DEAD_SECONDS:
            taken = await markers.replace(marker, State.KEPT)
        elif first is None or marker.word != first.word:
            raise CollectorBusyError
        else:
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        if taken is None:
            raise CollectorBusyError
        return taken
