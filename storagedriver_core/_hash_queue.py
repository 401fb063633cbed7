"""Hashing in a worker thread, in order, while the same bytes are on their way to the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor
from weakref import WeakSet

from storagedriver_core._hashing import INLINE_BYTES, Hasher
from storagedriver_core._types import Buffer

_MIB = 1024 * 1024
_BATCH_BYTES = _MIB // 2

_ROOM_BYTES = 16 * _MIB
_LEAST_SHARE_BYTES = 2 * _MIB

HashStates = Mapping[str, bytes | None]


class HashRoom:
    """How much may wait to be hashed: 16 MiB, shared by all queues that hash at the moment."""

    def __init__(self) -> None:
        # Weak: an event loop that has ended does not say that a worker has.
        self._queues: WeakSet[HashQueue] = WeakSet()

    @property
    def share(self) -> int:
        """Bytes that may wait in one queue; at least 2 MiB, however many there are."""
        return max(_ROOM_BYTES // max(len(self._queues), 1), _LEAST_SHARE_BYTES)

    def enter(self, queue: HashQueue) -> None:
        """Count a queue."""
        self._queues.add(queue)

    def leave(self, queue: HashQueue) -> None:
        """Count it no more."""
        self._queues.discard(queue)


class HashQueue:
    """Feeds running digests with chunks, in order.

    An error of a digest stays: what comes later would be hashed with a gap.

    Attributes:
        offset: Bytes hashed so far, counted from the start of the object.
    """

    def __init__(
        self, hashers: Mapping[str, Hasher], offset: int, executor: Executor, room: HashRoom
    ) -> None:
        self.offset = offset
        self._accepted = offset
        self._hashers = hashers
        self._executor = executor
        self._room = room
        self._chunks: deque[tuple[Buffer, int | None]] = deque()
        self._snapshots: dict[int, HashStates] = {}
        self._worker: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    @property
    def pending(self) -> int:
        """Bytes accepted and not yet hashed."""
        return self._accepted - self.offset

    def put(self, chunk: Buffer, *, snapshot_at: int | None = None) -> None:
        """Take the next chunk; keep the states after it under the offset `snapshot_at`."""
        self._accepted += len(chunk)
        if not self._hashers:
            self.offset = self._accepted
            return
        self._chunks.append((chunk, snapshot_at))
        if self.pending >= _BATCH_BYTES:
            self._start()

    async def reach(self, offset: int) -> None:
        """Wait until everything before `offset`, which has been put, is hashed."""
        while self.offset < offset:
            self._raise_failure()
            if self._worker is None and self.pending <= INLINE_BYTES:
                self._work()
            else:
                self._start()
                await self._wait_for_worker()

    async def wait_for_room(self) -> None:
        """Wait until no more than its share of the room is waiting."""
        while self.pending > self._room.share and self._worker is not None:
            await self._wait_for_worker()
        self._raise_failure()

    def states(self) -> HashStates:
        """Give the states at `offset`; nothing may be pending."""
        return {name: hasher.state() for name, hasher in self._hashers.items()}

    def take_snapshot(self, offset: int) -> HashStates | None:
        """Give the states kept for `offset`, None if there are none; forget those before it."""
        if not self._hashers:
            return {}
        for old in [key for key in tuple(self._snapshots) if key < offset]:
            del self._snapshots[old]
        return self._snapshots.get(offset)

    def hexdigests(self) -> dict[str, str]:
        """Give the digests at `offset`; nothing may be pending."""
        return {name: hasher.hexdigest() for name, hasher in self._hashers.items()}

    def _start(self) -> None:
        if self._worker is None and self._chunks and self._error is None:
            loop = asyncio.get_running_loop()
            self._room.enter(self)
            self._worker = loop.run_in_executor(self._executor, self._work)
            self._worker.add_done_callback(self._worked)

    async def _wait_for_worker(self) -> None:
        # `await` alone would return at once from a worker that has ended, without a turn for
        # `_worked`: for ever, in a loop. And the worker goes on when one who waits is cancelled.
        assert self._worker is not None
        await asyncio.wait({self._worker})

    def _worked(self, _: asyncio.Future[None]) -> None:
        self._worker = None
        self._room.leave(self)
        # What was put while the worker was ending waits here for its turn.
        if self.pending >= _BATCH_BYTES:
            self._start()

    def _work(self) -> None:
        """Hash until nothing is left. Runs in one thread at a time; a deque needs no lock."""
        try:
            while self._chunks:
                chunk, snapshot_at = self._chunks.popleft()
                for hasher in self._hashers.values():
                    hasher.update(chunk)
                self.offset += len(chunk)
                if snapshot_at is not None:
                    self._snapshots[snapshot_at] = self.states()
        except Exception as error:
            self._error = error

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error
