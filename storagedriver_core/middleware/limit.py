"""Bounds how much happens at once.

Three things wait in line, each in a line of its own and each bounded by the same number:

- requests: calls, chunks of readers, pages of listings, parts of uploads. A turn lasts as long as
  the wrapped driver works. A listing counts while a page of it is on its way: between two pages no
  store holds anything for it;
- readers, from `open_reader` to `aclose`;
- writers, from `open_upload` or `upload_state` until the upload is completed, aborted or released.

Why three lines: whoever holds an open stream goes on to ask for more (a writer for its parts, a
copy for a reader and then a writer, a walk for what it finds). In a single line, as many of them as
there are turns would wait for each other for ever. A request never asks for another one, so every
request ends; and who opens its reader first and its writer second always gets both. What remains
possible, such as two readers wanted by each of `concurrency` tasks that hold one, ends after
`max_wait` with a `ThrottledError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import ThrottledError
from storagedriver_core._types import (
    CompleteOptions,
    FileInfo,
    Part,
    ReadOptions,
    Upload,
    UploadOptions,
    UploadState,
)
from storagedriver_core.middleware._wrapper import DriverMiddleware

T = TypeVar("T")


class LimitParameters(BaseModel):
    """Parameters of `limit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(
        64, ge=1, description="Requests at once; as many readers and as many writers may be open."
    )
    max_wait: float = Field(
        60.0, gt=0, description="Seconds to wait for a turn; then the call is throttled."
    )


class LimitMiddleware(DriverMiddleware):
    """Lets a number of requests, readers and writers through at once; the others wait in line.

    Waiting is first come, first served, and can be cancelled. A reader or writer that is lost
    without being closed gives its turn back when it is collected. An instance belongs to one event
    loop at a time, whatever the wrapped driver can do.
    """

    def __init__(self, driver: StorageDriver, parameters: LimitParameters) -> None:
        super().__init__(driver, narrow={"any_event_loop": False})
        self._parameters = parameters
        self._form_lines()

    def __reduce__(self) -> tuple[object, ...]:
        # Turns that are taken belong to this process.
        return (LimitMiddleware, (self.driver, self._parameters))

    async def open(self) -> None:
        # A line belongs to one event loop, and a driver may be opened again on another.
        self._form_lines()
        await super().open()

    def _form_lines(self) -> None:
        self._requests = _Line("request", self._parameters)
        self._readers = _Line("reader", self._parameters)
        self._writers = _Line("writer", self._parameters)
        self._turns: dict[str, _Turn] = {}

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        await self._requests.wait()
        try:
            return await call()
        finally:
            self._requests.leave()

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        await self._readers.wait()
        turn = _Turn(self._readers)
        try:
            return _CountedStream(await super().open_reader(path, options), turn)
        except BaseException:
            turn.give_back()
            raise

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        async with self._writer(holder):
            return await super().open_upload(path, holder, options)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        async with self._writer(upload.holder):
            return await super().upload_state(upload, size)

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        info = await super().complete_upload(upload, parts, options)
        self._end_writer(upload.holder)
        return info

    async def abort_upload(self, upload: Upload) -> None:
        await super().abort_upload(upload)
        self._end_writer(upload.holder)

    def release_upload(self, upload: Upload) -> None:
        try:
            super().release_upload(upload)
        finally:
            self._end_writer(upload.holder)

    @asynccontextmanager
    async def _writer(self, holder: str) -> AsyncIterator[None]:
        """Take a writer's turn for `holder`, who keeps it unless this fails."""
        if holder in self._turns:
            yield
            return
        await self._writers.wait()
        self._turns[holder] = _Turn(self._writers)
        try:
            yield
        except BaseException:
            self._end_writer(holder)
            raise

    def _end_writer(self, holder: str) -> None:
        turn = self._turns.pop(holder, None)
        if turn is not None:
            turn.give_back_soon()


class _Line:
    """Those who wait for one of a number of turns: a fair semaphore, waited for in bounded time."""

    def __init__(self, kind: str, parameters: LimitParameters) -> None:
        self._kind = kind
        self._max_wait = parameters.max_wait
        self._semaphore = asyncio.Semaphore(parameters.concurrency)

    async def wait(self) -> None:
        if not self._semaphore.locked():
            await self._semaphore.acquire()
            return
        try:
            async with asyncio.timeout(self._max_wait):
                await self._semaphore.acquire()
        except TimeoutError:
            raise ThrottledError(
                f"waited {self._max_wait:g} s for the turn of a {self._kind}"
            ) from None

    def leave(self) -> None:
        self._semaphore.release()


class _Turn:
    """One taken turn, given back once."""

    def __init__(self, line: _Line) -> None:
        self._line: _Line | None = line
        self._loop = asyncio.get_running_loop()

    def give_back(self) -> None:
        """Give it back. On the event loop only."""
        line, self._line = self._line, None
        if line is not None:
            line.leave()

    def give_back_soon(self) -> None:
        """Give it back from wherever the garbage collector happens to run."""
        if self._line is not None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                self._loop.call_soon_threadsafe(self.give_back)


class _CountedStream(ByteStream):
    """A stream that has a reader's turn."""

    def __init__(self, stream: ByteStream, turn: _Turn) -> None:
        self.info = stream.info
        self._stream = stream
        self._turn = turn

    def __del__(self) -> None:
        self._turn.give_back_soon()

    async def next_chunk(self) -> bytes:
        self._stream.chunk_size = self.chunk_size
        return await self._stream.next_chunk()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._turn.give_back()
