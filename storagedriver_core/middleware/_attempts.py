"""The attempts that one operation gets, and a stream that uses them."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from storagedriver_core._driver import ByteStream
from storagedriver_core._errors import (
    ConflictError,
    PartialDeleteError,
    PathNotFoundError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
)
from storagedriver_core._reader import byte_range
from storagedriver_core._types import Conditions, ReadOptions

if TYPE_CHECKING:
    from storagedriver_core.middleware.retry import RetryParameters

logger = logging.getLogger(__name__)


class Attempts:
    """Counts the attempts of one operation and spaces them.

    Attributes:
        uncertain: Whether an earlier attempt may have changed something.
    """

    def __init__(self, parameters: RetryParameters, operation: str, path: str) -> None:
        self.uncertain = False
        self._parameters = parameters
        self._operation = operation
        self._path = path
        self._made = 0
        self._started = time.monotonic()

    async def again(self, error: StorageDriverError) -> None:
        """Return when it is time for the next attempt; raise `error` if there is none."""
        self._made += 1
        if error.outcome != "none" or isinstance(error, PartialDeleteError):
            self.uncertain = True
        elif self.uncertain:
            error.outcome = "unknown"
        delay = self._delay(error)
        if not error.temporary or self._is_over(delay):
            raise error
        logger.info(
            "%s %s failed, attempt %d in %.2f s: %s",
            self._operation,
            self._path,
            self._made + 1,
            delay,
            error,
        )
        await asyncio.sleep(delay)

    def _delay(self, error: StorageDriverError) -> float:
        limits = self._parameters
        most = min(limits.max_delay, limits.base_delay * 2 ** (self._made - 1))
        # Full jitter: those who failed together do not come back together.
        delay = random.uniform(0, most)
        if isinstance(error, ThrottledError) and error.retry_after is not None:
            delay += error.retry_after
        return delay

    def _is_over(self, delay: float) -> bool:
        # A driver may have turned a cancellation into an error of its own.
        task = asyncio.current_task()
        return (
            self._made >= self._parameters.attempts
            or time.monotonic() - self._started + delay > self._parameters.total
            or (task is not None and task.cancelling() > 0)
        )


class ResumingStream(ByteStream):
    """A stream that opens the object again, where it stands, when the body breaks.

    Each chunk has its own attempts, so that their number is bounded only where nothing comes.

    Args:
        stream: The stream to begin with; its object has an etag.
        options: What it was opened with.
        reopen: Opens another part of the object.
        new_attempts: Gives the attempts of one chunk.
    """

    def __init__(
        self,
        stream: ByteStream,
        options: ReadOptions,
        reopen: Callable[[ReadOptions], Awaitable[ByteStream]],
        new_attempts: Callable[[], Attempts],
    ) -> None:
        self.info = stream.info
        self._stream: ByteStream | None = stream
        self._position, self._end = byte_range(stream.info.size, options)
        self._reopen = reopen
        self._new_attempts = new_attempts

    async def next_chunk(self) -> bytes:
        attempts: Attempts | None = None
        while self._position < self._end:
            try:
                chunk = await self._try()
            except StorageDriverError as error:
                with suppress(StorageDriverError):  # what broke may not even close
                    await self.aclose()
                attempts = attempts or self._new_attempts()
                await attempts.again(error)
            else:
                self._position += len(chunk)
                return chunk
        return b""

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _try(self) -> bytes:
        if self._stream is None:
            rest = ReadOptions(
                offset=self._position,
                length=self._end - self._position,
                conditions=Conditions(if_match=self.info.etag),
            )
            try:
                self._stream = await self._reopen(rest)
            except PathNotFoundError as error:
                raise ConflictError("the object was deleted while it was read") from error
        self._stream.chunk_size = self.chunk_size
        chunk = await self._stream.next_chunk()
        if not chunk:
            raise UnavailableError(f"the body ended {self._end - self._position} bytes early")
        return chunk
