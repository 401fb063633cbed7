"""Bounds the time of each attempt of a call and of each step of a stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import OperationTimeoutError
from storagedriver_core._types import (
    Buffer,
    FileInfo,
    Part,
    PutOptions,
    ReadOptions,
    Upload,
    UploadOptions,
    UploadState,
)
from storagedriver_core.middleware._wrapper import DriverMiddleware, MiddlewareStream

T = TypeVar("T")

logger = logging.getLogger(__name__)

_STEPS = frozenset({"read", "list", "walk", "list_uploads"})
# How long these take depends on what is stored, which nobody knows beforehand.
_LONG = frozenset(
    {"copy", "copy_part", "move", "delete", "delete_many", "checksum", "complete_upload"}
)
# Every other call may have changed something by the time it is given up.
_READS = _STEPS | {
    "open",
    "check",
    "identity",
    "now",
    "stat",
    "open_reader",
    "get_content",
    "checksum",
    "redirect_url",
    "stored_name",
    "local_path",
}


class TimeoutParameters(BaseModel):
    """Parameters of `timeout`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: float = Field(60.0, gt=0, description="Seconds for a call, unless said otherwise.")
    step: float = Field(
        60.0, gt=0, description="Seconds for a chunk of a reader or a page of a listing."
    )
    long_operation: float = Field(
        3600.0,
        gt=0,
        description="Seconds for what may take long at the store: copy, move, delete, checksum, "
        "completing an upload.",
    )
    min_rate: float = Field(
        65536.0, gt=0, description="Bytes a second; puts and parts get time for their size by it."
    )
    grace: float = Field(2.0, gt=0, description="Seconds for a cancelled call to end.")


class TimeoutMiddleware(DriverMiddleware):
    """Gives each call, chunk and page its time, and cancels what takes longer.

    What is cancelled gets the time `grace` to end; then it is left behind, so that the caller never
    waits for what is stuck. A stream or upload that it opens after all is closed or aborted.

    Raises:
        OperationTimeoutError: The time was over. `outcome` is `unknown` for calls that change
            something, and `none` for the others.
    """

    def __init__(self, driver: StorageDriver, parameters: TimeoutParameters) -> None:
        super().__init__(driver)
        self._parameters = parameters
        self._left_behind: set[asyncio.Future[Any]] = set()

    def __reduce__(self) -> tuple[object, ...]:
        # What was left behind belongs to this process.
        return (TimeoutMiddleware, (self.driver, self._parameters))

    async def open(self) -> None:
        await self.around("open", "", super().open)

    async def aclose(self) -> None:
        stuck = tuple(self._left_behind)
        for task in stuck:
            task.cancel()
        if stuck:
            await asyncio.wait(stuck, timeout=self._parameters.grace)
        await self._close(self.driver.aclose())

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._bounded(operation, path, call)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await self._bounded(
            "open_reader",
            path,
            lambda: self.driver.open_reader(path, options),
            undo=lambda stream: self._in_background(stream.aclose()),
        )
        return _TimedStream(self, stream)

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return await self._bounded(
            "put_content",
            path,
            lambda: self.driver.put_content(path, data, options),
            size=memoryview(data).nbytes,
        )

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await self._bounded(
            "put_part",
            upload.path,
            lambda: self.driver.put_part(upload, number, offset, data),
            size=sum(memoryview(buffer).nbytes for buffer in data),
        )

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await self._bounded(
            "open_upload",
            path,
            lambda: self.driver.open_upload(path, holder, options),
            undo=lambda upload: self._in_background(self.driver.abort_upload(upload)),
        )

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await self._bounded(
            "upload_state",
            upload.path,
            lambda: self.driver.upload_state(upload, size),
            undo=lambda _: self.driver.release_upload(upload),
        )

    async def _bounded(
        self,
        operation: str,
        path: str,
        call: Callable[[], Awaitable[T]],
        *,
        size: int = 0,
        undo: Callable[[T], object] | None = None,
    ) -> T:
        """Make the call in a task of its own, since only then it can be left behind.

        `undo` is given the result of a call whose caller is gone.
        """
        seconds = self._seconds(operation) + size / self._parameters.min_rate
        task = asyncio.ensure_future(call())
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if done:
                return task.result()
            task.cancel()
            await asyncio.wait({task}, timeout=self._parameters.grace)
        except asyncio.CancelledError:
            self._leave_behind(task, undo)
            if task.cancel():
                await asyncio.wait({task}, timeout=self._parameters.grace)
            raise
        if task.done() and not task.cancelled() and task.exception() is None:
            return task.result()
        self._leave_behind(task, undo)
        raise OperationTimeoutError(
            f"not done after {seconds:g} s",
            driver_name=self.name,
            operation=operation,
            path=path,
            outcome="none" if operation in _READS else "unknown",
        )

    def _seconds(self, operation: str) -> float:
        if operation in _STEPS:
            return self._parameters.step
        return self._parameters.long_operation if operation in _LONG else self._parameters.operation

    def _leave_behind(
        self, task: asyncio.Future[T], undo: Callable[[T], object] | None = None
    ) -> None:
        """See to the end of a task that nobody waits for."""

        def ended(task: asyncio.Future[T]) -> None:
            self._left_behind.discard(task)
            # Asking for the exception also keeps asyncio from reporting it as lost.
            if not task.cancelled() and task.exception() is None and undo is not None:
                undo(task.result())

        self._left_behind.add(task)
        task.add_done_callback(ended)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        self._leave_behind(asyncio.ensure_future(work))

    async def _close(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait in bounded time for the end of an `aclose`, which has released what it could."""
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._parameters.operation)
        except asyncio.CancelledError:
            self._leave_behind(task)
            raise
        if done:
            return task.result()
        logger.warning("%s: closing takes too long, and goes on in the background", self.name)
        self._leave_behind(task)


class _TimedStream(MiddlewareStream):
    """A stream that is closed in bounded time, too."""

    def __init__(self, middleware: TimeoutMiddleware, stream: ByteStream) -> None:
        super().__init__(middleware, stream)
        self._timeout = middleware

    async def aclose(self) -> None:
        await self._timeout._close(self._stream.aclose())
