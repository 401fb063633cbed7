"""Chunks in, parts out: buffering, hashing, parts in flight, and the ledger of what is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from storagedriver_core._body import flat
from storagedriver_core._capabilities import Capabilities
from storagedriver_core._driver import StorageDriver
from storagedriver_core._errors import ClosedError, LimitExceededError
from storagedriver_core._hash_queue import HashQueue, HashStates
from storagedriver_core._parts import PartPlan
from storagedriver_core._types import Buffer, Part, Upload

# Without a ledger, chunks are gathered to one system call of this size: a thread hop costs as much
# as writing 64 KiB, and the writer's memory stays small. With two of them one is written while the
# next is made ready; more were no faster, and are held in memory by each of many writers.
_GATHER_BYTES = 1024 * 1024
_GATHERED_IN_FLIGHT = 2
_SLICE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Durable:
    """What a token can promise; replaced as a whole, so that its fields always fit together.

    Attributes:
        offset: Bytes that survive the loss of this process.
        parts: Entries of the ledger that they are in.
        tail: Internal path of the object that holds those after the last part; empty if none.
        hashes: States of the digests at `offset`.
    """

    offset: int
    parts: int
    tail: str
    hashes: HashStates


class PartUploader:
    """Sends what a writer accepts, with a bounded number of parts in flight.

    It keeps no reference to the writer, so that a lost writer can be told from a busy one.

    Attributes:
        offset: Bytes accepted.
        durable: What a token can promise.
        parts: Ledger of the parts that are stored without a gap.
    """

    def __init__(
        self,
        driver: StorageDriver,
        capabilities: Capabilities,
        upload: Upload,
        plan: PartPlan,
        hashes: HashQueue,
        *,
        concurrency: int,
        durable: Durable | None = None,
        parts: Sequence[Part] = (),
        tail: bytes = b"",
    ) -> None:
        self.upload = upload
        self.durable = durable or Durable(0, 0, "", hashes.states())
        self.offset = self.durable.offset
        self.parts = list(parts)
        self._driver = driver
        self._capabilities = capabilities
        self._plan = plan
        self._hashes = hashes
        self._ledger = capabilities.keeps_ledger
        if not self._ledger:
            concurrency = min(concurrency, _GATHERED_IN_FLIGHT)
        self._concurrency = concurrency if capabilities.upload_out_of_order else 1
        self._slots = asyncio.Semaphore(self._concurrency)
        self._buffer: list[Buffer] = [tail] if tail else []
        self._buffered = len(tail)
        self._shipped = self.offset - len(tail)
        self._next_number = len(self.parts) + 1
        self._waiting: dict[int, Part] = {}
        self._last: Part | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None

    @property
    def tail(self) -> bytes:
        """Bytes that are in no part yet."""
        return b"".join(self._buffer)

    async def accept(self, chunk: Buffer, *, frozen: bool) -> None:
        """Take the whole chunk, or (cancelled while waiting, or refused) nothing of it.

        Args:
            chunk: The bytes.
            frozen: Whether nobody changes them after the call.

        Raises:
            LimitExceededError: The chunk does not fit in the parts that are left.
            StorageDriverError: A part that was sent before has failed.
        """
        while len(self._in_flight) >= self._concurrency:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        await self._hashes.wait_for_room()
        self._raise_failure()
        # The caller may change any other buffer after the call.
        data = flat(chunk) if frozen or isinstance(chunk, bytes) else bytes(chunk)
        self._check_room(len(data))
        view = memoryview(data)
        while view:
            goal = self._goal(len(view))
            # A tail that was made under other limits may be over the goal already.
            piece = view[: max(goal - self._buffered, 1)]
            view = view[len(piece) :]
            self._take(data if len(piece) == len(data) else piece, goal)

    async def drain(self) -> None:
        """Send what may become a part, and wait until all that was sent is stored and hashed."""
        if self._buffered and self._may_ship_buffer():
            self._ship()
        while self._in_flight:
            await asyncio.wait(self._in_flight)
        self._raise_failure()
        await self._hashes.reach(self.offset)

    async def sync(self, tail: str) -> None:
        """Make durable what was sent, and promise everything: the bytes in no part are in `tail`.

        `drain` came before it.
        """
        if not self._capabilities.durable_parts:
            await self._driver.sync_upload(self.upload)
        self.durable = Durable(self.offset, len(self.parts), tail, self._hashes.states())

    async def finish(self) -> Sequence[Part]:
        """Send everything, and give the parts of the whole object.

        The last part of a ledger, which may be short, is sent outside of it: if the commit fails,
        the writer can still go on, and its bytes then become part of a longer one. If the commit is
        repeated it is not sent again: the upload may be completed, its reply lost.
        """
        await self.drain()
        if not self._buffered:
            return self.parts
        last = self._last
        if last is None or (last.number, last.offset + last.size) != (
            self._next_number,
            self.offset,
        ):
            last = self._last = await self._driver.put_part(
                self.upload, self._next_number, self._shipped, tuple(self._buffer)
            )
        return (*self.parts, last)

    async def stop(self, *, patience: float = 0.0) -> None:
        """Cancel what is in flight and wait for its end; nothing can be sent any more.

        Args:
            patience: Seconds in which what was sent may arrive first. A store may still write what
                it has received of a part that is cancelled, after the upload is gone.
        """
        self._fail(ClosedError("the upload was stopped"))
        try:
            if self._in_flight and patience:
                await asyncio.wait(self._in_flight, timeout=patience)
        finally:
            for task in self._in_flight:
                task.cancel()
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _may_ship_buffer(self) -> bool:
        if not self._ledger:
            return True
        declared = self._capabilities
        return (
            not declared.equal_parts
            and self._buffered >= declared.min_part_size > 0
            and self._buffered % declared.part_alignment == 0
        )

    def _check_room(self, size: int) -> None:
        most = self._plan.max_object_size
        if most is not None and self.offset + size > most:
            raise LimitExceededError(f"objects hold at most {most} bytes")
        if self._ledger and not self._plan.fits(self._next_number, self._buffered + size):
            raise LimitExceededError(
                f"the upload would need more than {self._plan.max_parts} parts"
            )

    def _goal(self, more: int) -> int:
        """Give the size at which what is gathered is sent, when so many bytes more are there."""
        if self._ledger:
            return self._plan.size_of(self._next_number)
        # To where a mebibyte of the object ends: disks write whole blocks with less ado.
        end = self._shipped + self._buffered + min(more, _SLICE_BYTES)
        mebibytes = max(end // _GATHER_BYTES, self._shipped // _GATHER_BYTES + 1)
        return mebibytes * _GATHER_BYTES - self._shipped

    def _take(self, piece: Buffer, goal: int) -> None:
        self._buffer.append(piece)
        self._buffered += len(piece)
        self.offset += len(piece)
        full = self._buffered >= goal
        self._hashes.put(piece, snapshot_at=self.offset if full and self._ledger else None)
        if full:
            self._ship()

    def _ship(self) -> None:
        data, size = self._buffer, self._buffered
        self._buffer, self._buffered = [], 0
        number, offset = self._next_number, self._shipped
        self._next_number += 1
        self._shipped += size
        task = asyncio.create_task(self._send(number, offset, size, data))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _send(self, number: int, offset: int, size: int, data: Sequence[Buffer]) -> None:
        """Send one part; note a failure before the next part gets its slot."""
        try:
            async with self._slots:
                if self._error is not None:
                    return
                part = await self._driver.put_part(self.upload, number, offset, data)
            if self._ledger:
                await self._hashes.reach(offset + size)
                self._enter(part)
        except asyncio.CancelledError:
            # By `stop`, or by the end of the event loop, which a writer may outlive for a moment.
            self._fail(ClosedError("a part was cancelled on its way"))
            raise
        except Exception as error:
            self._fail(error)

    def _enter(self, part: Part) -> None:
        """Put a part in the ledger once every part before it is there."""
        self._waiting[part.number] = part
        while (known := self._waiting.pop(len(self.parts) + 1, None)) is not None:
            self.parts.append(known)
            if self._capabilities.durable_parts:
                end = known.offset + known.size
                states = self._hashes.take_snapshot(end)
                if states is not None:
                    self.durable = Durable(end, len(self.parts), "", states)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error
