"""Turns: of several processes, one at a time is at work on the writer of an upload session.

```text
  (no turn) ── begin ──► (a word) ── renew ──► (another word) ── … ── replace, or give back
                             │  silent for `DEAD_SECONDS`
                             └──────────► begun anew by another process
```

A turn is a word in the session's record, and stored only in the place of the record that was read:
of two that begin at once, one gets it. Two that wrote into one upload could replace each other's
parts, and then it is too late to refuse the record of one of them.

Rule 1: who has a turn renews it, and gives up `LIFE_SECONDS` after the last renewal at the latest.
Rule 2: who finds a turn watches it, by its own clock: one that has not changed for `DEAD_SECONDS`
is of a process that died. That is longer than its owner works without a renewal.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from storagedriver_core import ConflictError, StorageDriverError, finish
from storagedriver_registry.storage.errors import UploadBusyError
from storagedriver_registry.storage.records import Record, RecordStore

logger = logging.getLogger(__name__)

RENEW_SECONDS = 1.5
LIFE_SECONDS = 5.0
DEAD_SECONDS = 7.0
_LOOK_SECONDS = 0.25


class Turn:
    """One request's turn.

    Attributes:
        record: The session's record as it is stored now.
    """

    def __init__(self, records: RecordStore, name: str, upload_id: str, record: Record) -> None:
        self.record = record
        self._records = records
        self._where = (name, upload_id)
        self._stopping = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._is_over = False

    async def begin(self, limit: asyncio.Timeout) -> None:
        """Begin it, and renew it until it ends; the limit is when it is lost.

        Raises:
            ConflictError: Another process has it.
        """
        await self._renew(limit)
        self._renewing = asyncio.create_task(self._keep(limit))

    async def replace(self, record: Record) -> Record:
        """End the turn with another record.

        Raises:
            ConflictError: The turn was lost. Nothing was stored.
        """
        await self.end()
        return await self._records.save(*self._where, record, self.record)

    async def end(self) -> None:
        """End the turn and leave the record as it is: it is to be deleted."""
        self._is_over = True
        await self._stop()

    async def leave(self) -> None:
        """Give the turn back, unless it is over or lost."""
        await self._stop()
        if self._is_over:
            return
        self._is_over = True
        try:
            await self._records.save(*self._where, replace(self.record, turn=""), self.record)
        except ConflictError:
            pass  # it was lost
        except StorageDriverError as error:
            logger.warning("the turn at upload %s expires: %s", self._where[1], error)

    async def _stop(self) -> None:
        self._stopping.set()
        if self._renewing is not None:
            # A renewal on its way is waited for: it says which record is stored.
            await asyncio.wait({self._renewing})

    async def _keep(self, limit: asyncio.Timeout) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RENEW_SECONDS)
            if self._stopping.is_set() or limit.expired():
                return
            try:
                await self._renew(limit)
            except ConflictError:
                _move(limit, asyncio.get_running_loop().time())
                return
            except StorageDriverError as error:
                logger.info("a turn at upload %s is not renewed: %s", self._where[1], error)

    async def _renew(self, limit: asyncio.Timeout) -> None:
        began = asyncio.get_running_loop().time()
        record = replace(self.record, turn=secrets.token_hex(8))
        self.record = await self._records.save(*self._where, record, self.record)
        _move(limit, began + LIFE_SECONDS)


@asynccontextmanager
async def turn_at(
    records: RecordStore, name: str, upload_id: str, record: Record
) -> AsyncIterator[Turn]:
    """Have the turn at a session for the length of the block; it is given back at the end.

    Args:
        records: A store of records that compares.
        name: The repository.
        upload_id: The session.
        record: Its record as it was read.

    Raises:
        ConflictError: Another process has it, or has taken it because it could not be renewed.
    """
    turn = Turn(records, name, upload_id, record)
    try:
        async with asyncio.timeout(None) as limit:
            try:
                await turn.begin(limit)
                yield turn
            finally:
                await finish(turn.leave())
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise ConflictError("the turn at the upload was lost") from error


async def settled(
    records: RecordStore, name: str, upload_id: str, patience: float
) -> Record | None:
    """Give the record of a session at which no process has its turn; None if there is none.

    Args:
        records: The records.
        name: The repository.
        upload_id: The session.
        patience: Seconds to wait for a process that is at work.

    Raises:
        UploadBusyError: One is at work for longer than that.
        UnreadableRecordError: There is something else in the record's place.
    """
    clock = asyncio.get_running_loop().time
    record = await records.load(name, upload_id)
    deadline, seen = clock() + patience, clock()
    while record is not None and record.turn:
        if clock() - seen > DEAD_SECONDS:
            return record
        await asyncio.sleep(_LOOK_SECONDS)
        last, record = record, await records.load(name, upload_id)
        if record is not None and record.turn == last.turn:
            continue
        seen = clock()
        if seen > deadline and record is not None and record.turn:
            raise UploadBusyError
    return record


def _move(limit: asyncio.Timeout, when: float) -> None:
    if not limit.expired():
        limit.reschedule(when)
