"""Streams of what a cache has, or is about to have."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from storagedriver_core._driver import ByteStream
from storagedriver_core._errors import InvalidOffsetError, UnavailableError
from storagedriver_core._reader import byte_range
from storagedriver_core._types import Conditions, FileInfo, ReadOptions
from storagedriver_core.middleware._cache_files import DamagedError, Entry, Filling

if TYPE_CHECKING:
    from storagedriver_core.middleware.cache import CacheMiddleware

logger = logging.getLogger(__name__)


class Fill:
    """One object on its way from the store to the disk, which all of its readers push on.

    Attributes:
        info: The object.
        size: Bytes that are on the disk so far.
        is_over: Whether nothing more comes: all is there, or it has failed.
        is_stale: Whether the object may be another one by now; then it becomes no entry.
    """

    def __init__(self, cache: CacheMiddleware, stream: ByteStream, file: Filling) -> None:
        self.info = stream.info
        self.size = 0
        self.is_over = False
        self.is_stale = False
        self._cache = cache
        self._stream = stream
        self._file = file
        self._turn = asyncio.Lock()
        self._readers = 0

    def join(self) -> None:
        """Count one more reader, who calls `leave` in the end."""
        self._readers += 1

    async def leave(self) -> None:
        """Count a reader no more; the last one takes the file along."""
        self._readers -= 1
        if not self._readers:
            await self.stop()

    def lose(self) -> None:
        """Count a reader no more that was never closed. On the event loop."""
        self._readers -= 1
        if not self._readers:
            self.is_over = True
            self._cache.ended(self)
            self._cache.threads.leave(self._file.close)

    async def read(self, position: int) -> bytes:
        """Give some of the bytes that are on the disk."""
        end = self.size
        return await self._cache.threads.run(lambda: self._file.read(position, end))

    async def push(self, position: int) -> bytes | None:
        """Fetch the next chunk, if nobody has meanwhile, and give it to whoever waits there.

        Returns:
            The chunk if it begins at `position`; else None, and there is more to read, or it is
            over.
        """
        async with self._turn:
            if self.is_over or self.size > position:
                return None
            try:
                chunk = await self._stream.next_chunk()
            except BaseException:
                await self._fail()
                raise
            try:
                await self._cache.threads.run(lambda: self._file.write(chunk))
                self.size += len(chunk)
                if self.size >= self.info.size or not chunk:
                    await self._end()
            except OSError as error:
                logger.warning("cache: %s is not kept: %s", self.info.path, error)
                await self._fail()
            except BaseException:
                await self._fail()
                raise
            return chunk

    async def stop(self) -> None:
        """Let go of the file and, if that is not over yet, of the store's stream."""
        try:
            if not self.is_over:
                await self._fail()
        finally:
            self._cache.ended(self)
            try:
                await self._cache.threads.run(self._file.close)
            except OSError as error:
                logger.warning("cache: what was kept of %s stays: %s", self.info.path, error)

    async def _end(self) -> None:
        if self.size == self.info.size and not self.is_stale:
            await self._cache.threads.run(self._file.publish)
        self.is_over = True
        self._cache.ended(self)
        await self._stream.aclose()

    async def _fail(self) -> None:
        self.is_over = True
        self._cache.ended(self)
        await self._stream.aclose()


class _CachedStream(ByteStream):
    """A stream from the disk, which goes on at the store where the disk has no more.

    Args:
        cache: The middleware.
        info: The object.
        options: What part of it.

    Raises:
        InvalidOffsetError: The part begins beyond the end.
    """

    def __init__(self, cache: CacheMiddleware, info: FileInfo, options: ReadOptions) -> None:
        if options.offset > info.size:
            raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
        self.info = info
        self._cache = cache
        self._position, self._end = byte_range(info.size, options)
        self._direct: ByteStream | None = None

    async def next_chunk(self) -> bytes:
        if self._position >= self._end:
            return b""
        chunk = None
        if self._direct is None:
            chunk = await self._from_disk()
            if chunk is None:
                self._direct = await self._at_the_store()
        if self._direct is not None:
            self._direct.chunk_size = self.chunk_size
            chunk = await self._direct.next_chunk()
        assert chunk is not None
        self._position += len(chunk)
        return chunk

    async def _from_disk(self) -> bytes | None:
        """Give the next bytes; None where they cannot be had."""
        raise NotImplementedError

    async def _at_the_store(self) -> ByteStream:
        """Open the rest of the same version."""
        declared = self._cache.capabilities
        rest = ReadOptions(
            offset=self._position,
            length=None if self._end == self.info.size else self._end - self._position,
            conditions=Conditions(if_match=self.info.etag)
            if declared.get_with_conditions
            else None,
        )
        is_part = rest.offset > 0 or rest.length is not None
        if rest.conditions is None or (is_part and not declared.get_range):
            raise UnavailableError("the copy on the disk was lost while it was read")
        return await self._cache.driver.open_reader(self.info.path, rest)

    async def aclose(self) -> None:
        direct, self._direct = self._direct, None
        if direct is not None:
            await direct.aclose()


class EntryStream(_CachedStream):
    """A stream of an entry."""

    def __init__(self, cache: CacheMiddleware, entry: Entry, options: ReadOptions) -> None:
        super().__init__(cache, entry.info, options)
        self._entry = entry

    async def _from_disk(self) -> bytes | None:
        if self._entry.content is not None:
            return bytes(self._entry.content[self._position : self._end])
        try:
            return await self._cache.threads.run(
                lambda: self._entry.read(self._position, self._end)
            )
        except (DamagedError, OSError) as error:
            logger.warning("cache: the copy of %s is dropped: %s", self.info.path, error)
            await self._cache.drop(self.info.path)
            return None

    async def aclose(self) -> None:
        self._entry.close()
        await super().aclose()


class FilledStream(_CachedStream):
    """A stream of an entry that is being made."""

    def __init__(self, cache: CacheMiddleware, fill: Fill) -> None:
        super().__init__(cache, fill.info, ReadOptions())
        self._fill: Fill | None = fill
        self._loop = asyncio.get_running_loop()
        fill.join()

    def __del__(self) -> None:
        if self._fill is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._fill.lose)

    async def _from_disk(self) -> bytes | None:
        fill = self._fill
        while fill is not None:
            if self._position < fill.size:
                try:
                    return await fill.read(self._position)
                except (DamagedError, OSError) as error:
                    logger.warning("cache: %s cannot be read: %s", self.info.path, error)
                    break
            if fill.is_over:
                break
            chunk = await fill.push(self._position)
            if chunk is not None:
                return chunk
        return None

    async def aclose(self) -> None:
        fill, self._fill = self._fill, None
        try:
            if fill is not None:
                await fill.leave()
        finally:
            await super().aclose()
