"""Reading one object: the portable reader over a driver's byte streams."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from storagedriver_core._context import Context
from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import (
    ClosedError,
    InvalidOffsetError,
    StorageDriverError,
    UnavailableError,
    UnsupportedMethodError,
)
from storagedriver_core._types import Conditions, FileInfo, OperationEvent, ReadOptions

if TYPE_CHECKING:
    from typing import Self


class FileReader:
    """Reads a range of one version of one object, as chunks come or by `read(n)`.

    Get one from `Storage.reader`. One task at a time may use it. A body that ends before its
    declared length is an `UnavailableError`, never a short success.

    Attributes:
        info: The object, as at the opening.
    """

    def __init__(
        self,
        context: Context,
        stream: ByteStream,
        options: ReadOptions,
    ) -> None:
        self.info = stream.info
        self._context = context
        self._driver = context.driver
        self._stream: ByteStream | None = stream
        self._is_over = False
        self._started = time.monotonic()
        self._position, self._end = byte_range(self.info.size, options)
        self._rest = b""
        self._bytes = 0

    def __repr__(self) -> str:
        state = "closed" if self._stream is None else "open"
        return f"<FileReader {self.info.path!r} {state} at {self._position}>"

    def __del__(self) -> None:
        if not getattr(self, "_is_over", True):
            lost = ResourceWarning(f"{self!r} was never closed")
            warnings.warn(lost, source=self, stacklevel=1)
            self._context.observe_lost(self._event(lost))

    @property
    def position(self) -> int:
        """Offset in the object of the next byte."""
        return self._position

    def set_chunk_size(self, size: int) -> None:
        """Wish for chunks of so many bytes at most, from the next one on; at least 1.

        Whoever passes them on to somebody slow holds less so. Not every driver heeds it.
        """
        if size < 1:
            raise ValueError("a chunk has at least 1 byte")
        self._open_stream().chunk_size = size

    # Not a generator: one that is left half-way would wait for garbage collection.
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self._next():
            return chunk
        raise StopAsyncIteration

    async def read(self, size: int = -1) -> bytes:
        """Give the next `size` bytes, fewer only at the end; all that is left for -1."""
        if size == 0:
            return b""
        chunks = []
        missing = size
        while missing and (chunk := await self._next()):
            if 0 <= missing < len(chunk):
                self._rest = chunk[missing:]
                chunk = chunk[:missing]
                self._position -= len(self._rest)
            chunks.append(chunk)
            missing -= len(chunk) if size > 0 else 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def seek(self, offset: int) -> None:
        """Go to `offset` of the object; reading then goes on to the object's end.

        The version stays: if the object has been replaced meanwhile, it is `ConflictError`.

        Raises:
            InvalidOffsetError: `offset` is negative or beyond the end.
            UnsupportedMethodError: The driver cannot read from an offset.
        """
        stream = self._open_stream()
        if not 0 <= offset <= self.info.size:
            raise InvalidOffsetError(
                f"offset {offset} is not in 0..{self.info.size}", offset=offset
            )
        if not self._context.capabilities.get_range:
            raise UnsupportedMethodError(capability="get_range")
        pinned = None
        if self.info.etag is not None and self._context.capabilities.get_with_conditions:
            pinned = Conditions(if_match=self.info.etag)
        await stream.aclose()
        self._stream = None
        options = ReadOptions(offset=offset, conditions=pinned)
        try:
            self._stream = await self._driver.open_reader(self.info.path, options)
        except StorageDriverError as error:
            error.stamp(self._driver.name, "seek", self.info.path)
            raise
        self._stream.chunk_size = stream.chunk_size
        self._position, self._end, self._rest = offset, self.info.size, b""

    async def aclose(self) -> None:
        """Release the connection or descriptor. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                await stream.aclose()
        finally:
            if self._context.observe is not None:
                self._context.observe(self._event(None))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _next(self) -> bytes:
        stream = self._open_stream()
        chunk, self._rest = self._rest, b""
        if not chunk:
            if self._position >= self._end:
                return b""
            try:
                chunk = await stream.next_chunk()
            except StorageDriverError as error:
                error.stamp(self._driver.name, "read", self.info.path)
                raise
            self._bytes += len(chunk)
        if not chunk:
            raise UnavailableError(
                f"the body ended {self._end - self._position} bytes early",
                driver_name=self._driver.name,
                operation="read",
                path=self.info.path,
            )
        self._position += len(chunk)
        return chunk

    def _event(self, error: Exception | None) -> OperationEvent:
        """Give what observers are told of the stream's whole life."""
        seconds = time.monotonic() - self._started
        path = self.info.path
        return OperationEvent(self._driver.name, "read", path, seconds, self._bytes, error)

    def _open_stream(self) -> ByteStream:
        if self._stream is None:
            raise ClosedError(
                "the reader is closed", driver_name=self._driver.name, path=self.info.path
            )
        return self._stream


def byte_range(size: int, options: ReadOptions) -> tuple[int, int]:
    """Give the first offset and the end of what `options` ask of an object of `size` bytes."""
    if options.suffix is not None:
        return max(0, size - options.suffix), size
    end = size if options.length is None else min(size, options.offset + options.length)
    return options.offset, max(end, options.offset)


class BytesStream(ByteStream):
    """A range of bytes that are in memory already, for drivers that have them.

    Args:
        info: The object.
        data: All of its bytes.
        options: What was asked.

    Raises:
        InvalidOffsetError: The offset is beyond the end.
    """

    def __init__(self, info: FileInfo, data: bytes, options: ReadOptions) -> None:
        if options.offset > info.size:
            raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
        self.info = info
        self._data = data
        self._position, self._end = byte_range(info.size, options)

    async def next_chunk(self) -> bytes:
        end = min(self._position + self.chunk_size, self._end)
        chunk = self._data[self._position : end]
        self._position = end
        return chunk


class ParallelStream(ByteStream):
    """One range read by several requests at once, in order, with bounded memory.

    At most `concurrency` chunks of `chunk_size` bytes are in memory or on their way. All are of
    the version of the first.
    """

    def __init__(
        self,
        driver: StorageDriver,
        info: FileInfo,
        options: ReadOptions,
        *,
        chunk_size: int,
        concurrency: int,
    ) -> None:
        self.info = info
        self._driver = driver
        self._next_offset, self._end = byte_range(info.size, options)
        self._chunk_size = chunk_size
        self._concurrency = concurrency
        self._pinned = Conditions(if_match=info.etag)
        self._tasks: deque[asyncio.Task[bytes]] = deque()

    async def next_chunk(self) -> bytes:
        while len(self._tasks) < self._concurrency and self._next_offset < self._end:
            length = min(self._chunk_size, self._end - self._next_offset)
            self._tasks.append(asyncio.create_task(self._fetch(self._next_offset, length)))
            self._next_offset += length
        if not self._tasks:
            return b""
        chunk = await asyncio.shield(self._tasks[0])
        self._tasks.popleft()
        return chunk

    async def aclose(self) -> None:
        tasks, self._tasks = self._tasks, deque()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, offset: int, length: int) -> bytes:
        options = ReadOptions(offset=offset, length=length, conditions=self._pinned)
        chunks = []
        async with await self._driver.open_reader(self.info.path, options) as stream:
            while chunk := await stream.next_chunk():
                chunks.append(chunk)
        data = b"".join(chunks)
        if len(data) != length:
            raise UnavailableError(f"{len(data)} of {length} bytes came", path=self.info.path)
        return data
