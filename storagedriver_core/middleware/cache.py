"""Keeps whole objects that were read on a local disk, in front of a store far away.

Coherence: an entry is of a path, an etag and a size. Before it is used the store is asked, by one
`stat`, whether the object still has both. Only below directories that the configuration calls
immutable is it not asked again, until this process itself changes something there; there, what
others delete may be read for a while, which is why `fresh_reads` is narrowed then.

Filling: the first who reads an object as a whole fills the entry, and whoever comes meanwhile reads
from what is there and goes on where it ends: the store is asked once. Nobody reads ahead, so the
fastest reader sets the pace. When all have gone before the end, nothing is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import ConfigurationError, PathNotFoundError
from storagedriver_core._paths import is_internal
from storagedriver_core._threads import Threads
from storagedriver_core._types import CompleteOptions, FileInfo, Part, ReadOptions, Upload
from storagedriver_core.middleware._cache_files import CacheDirectory, Entry, Filling
from storagedriver_core.middleware._cache_streams import EntryStream, Fill, FilledStream
from storagedriver_core.middleware._wrapper import DriverMiddleware

T = TypeVar("T")

logger = logging.getLogger(__name__)

_THREADS = 8
_MOST_TRUSTED = 100_000
_GIB = 1024**3
_CHANGES = frozenset({"put_content", "complete_upload", "move", "copy"})
_DELETES = frozenset({"delete", "delete_many"})


class CacheParameters(BaseModel):
    """Parameters of `cache`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path = Field(
        description="Where entries are, on a local disk. Processes may share it, for one store."
    )
    max_bytes: int = Field(
        10 * _GIB, ge=1, description="Bytes of all entries at most; what was not used is dropped."
    )
    max_object_bytes: int | None = Field(
        None, ge=1, description="Larger objects are not kept; by default a quarter of max_bytes."
    )
    immutable: tuple[str, ...] = Field(
        (),
        description="Directories, as /docker/registry/v2/blobs, in which a file never changes: an "
        "entry is used without asking the store.",
    )

    @field_validator("immutable")
    @classmethod
    def _are_directories(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for directory in value:
            if not directory.startswith("/") or (directory != "/" and directory.endswith("/")):
                raise ValueError(f"{directory!r} is no directory, as /a/b is")
        return value


class CacheMiddleware(DriverMiddleware):
    """Gives what was read before from the disk, as long as it is what the store has.

    Only whole reads fill the cache, and any read is answered from it; reads with conditions go to
    the store. Stores without etags are not cached. A damaged entry is dropped, and the read goes on
    at the store; so it does when the disk is full.
    """

    def __init__(self, driver: StorageDriver, parameters: CacheParameters) -> None:
        super().__init__(driver, narrow={"fresh_reads": False} if parameters.immutable else {})
        self._parameters = parameters
        self._most = parameters.max_object_bytes or parameters.max_bytes // 4
        self._files = CacheDirectory(parameters.directory, parameters.max_bytes)
        self.threads = Threads(_THREADS)
        self._immutable = tuple(
            directory if directory == "/" else f"{directory}/" for directory in parameters.immutable
        )
        self._fills: dict[str, Fill] = {}  # those that others may join
        self._running: set[Fill] = set()
        self._opening: dict[str, tuple[asyncio.Lock, int]] = {}
        # Paths that need not be asked for while `_changes` is this number.
        self._trusted: dict[str, int] = {}
        self._changes = 0

    def __reduce__(self) -> tuple[object, ...]:
        # What is open belongs to this process.
        return (CacheMiddleware, (self.driver, self._parameters))

    async def open(self) -> None:
        try:
            await self.threads.run(self._files.open)
        except OSError as error:
            await self.threads.shutdown()
            raise ConfigurationError(f"cache: {error}") from error
        await super().open()

    async def aclose(self) -> None:
        self._trusted.clear()
        async with AsyncExitStack() as stack:  # each of them, whatever the others run into
            stack.push_async_callback(super().aclose)
            stack.push_async_callback(self.threads.shutdown)
            for fill in self._running:
                stack.push_async_callback(fill.stop)

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        if operation not in _CHANGES and operation not in _DELETES:
            return await call()
        try:
            return await call()
        finally:
            # Also after an error, and a cancellation: it may have been done.
            if operation in _CHANGES:
                self._changed(path)
            else:
                self._deleted()

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        try:
            await super().move(source, target, if_absent=if_absent)
        finally:
            self._changed(target)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        try:
            await super().copy(source, target, if_absent=if_absent)
        finally:
            self._changed(target)

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        try:
            return await super().complete_upload(upload, parts, options)
        finally:
            self._changed(options.path)  # another one than the upload's, bound late

    async def get_content(self, path: str) -> bytes:
        if is_internal(path):
            return await super().get_content(path)
        return await StorageDriver.get_content(self, path)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        if is_internal(path) or options.conditions is not None:
            return await self.driver.open_reader(path, options)
        is_whole = options == ReadOptions()
        async with self._alone(path):
            # Nobody else begins to fill meanwhile. So if nobody does now, whatever was filled can
            # be found.
            while is_whole and (fill := self._fills.get(path)) is not None:
                if not await self._is_current(path, fill.info):
                    return await self.driver.open_reader(path, options)
                if not fill.is_over:
                    return FilledStream(self, fill)
            entry = await self._current_entry(path)
            if entry is not None:
                try:
                    return EntryStream(self, entry, options)
                except BaseException:
                    entry.close()
                    raise
            return await self._from_store(path, options, is_whole)

    async def _current_entry(self, path: str) -> Entry | None:
        """Open the entry of a path; one that the store has another version of is dropped."""
        entry = await self.threads.run(lambda: self._files.find(path), undo=_close)
        if entry is None:
            return None
        try:
            is_current = await self._is_current(path, entry.info)
        except BaseException:
            entry.close()
            raise
        if is_current:
            return entry
        entry.close()
        await self.drop(path)
        return None

    async def _from_store(self, path: str, options: ReadOptions, is_whole: bool) -> ByteStream:
        changes = self._changes
        stream = await self.driver.open_reader(path, options)
        info = stream.info
        if not is_whole or info.etag is None or info.size > self._most or path in self._fills:
            return stream
        try:
            file = await self.threads.run(lambda: self._files.begin(info), undo=_close)
        except OSError as error:
            logger.warning("cache: %s is not kept: %s", path, error)
            return stream
        except BaseException:
            await stream.aclose()
            raise
        if file is None:
            return stream
        fill = Fill(self, stream, file)
        self._running.add(fill)
        if changes == self._changes:
            self._fills[path] = fill
            self._trust(path, changes)
        else:
            fill.is_stale = True
        return FilledStream(self, fill)

    async def _is_current(self, path: str, known: FileInfo) -> bool:
        """Tell whether what is known of a path is still what the store has there."""
        changes = self._changes
        if self._trusted.get(path) == changes:
            return True
        try:
            info = await self.driver.stat(path)
        except PathNotFoundError:
            await self.drop(path)
            raise
        # No times: some stores say another one with the bytes than when they are asked.
        if info.is_dir or (info.etag, info.size) != (known.etag, known.size):
            return False
        self._trust(path, changes)
        return True

    def _trust(self, path: str, changes: int) -> None:
        if self._is_immutable(path):
            if len(self._trusted) >= _MOST_TRUSTED:
                self._trusted.clear()
            self._trusted[path] = changes

    def _is_immutable(self, path: str) -> bool:
        return path.startswith(self._immutable)

    def _changed(self, path: str) -> None:
        """Ask again for a file that this process may have replaced; a new one changes nothing."""
        fill = self._fills.pop(path, None)
        if fill is not None:
            fill.is_stale = True
        if fill is not None or path in self._trusted or path in self._opening:
            self._changes += 1

    def _deleted(self) -> None:
        """Ask again for everything: a directory may have been deleted that all of it is below."""
        for fill in self._fills.values():
            fill.is_stale = True
        self._fills.clear()
        self._changes += 1

    def ended(self, fill: Fill) -> None:
        """Forget a fill that is over."""
        self._running.discard(fill)
        if self._fills.get(fill.info.path) is fill:
            del self._fills[fill.info.path]

    async def drop(self, path: str) -> None:
        """Drop the entry of a path; a disk that fails is no reason to fail what is read."""
        try:
            await self.threads.run(lambda: self._files.drop(path))
        except OSError as error:
            logger.warning("cache: the copy of %s stays: %s", path, error)

    @asynccontextmanager
    async def _alone(self, path: str) -> AsyncIterator[None]:
        """Let one at a time find out about a path."""
        lock, waiting = self._opening.get(path) or (asyncio.Lock(), 0)
        self._opening[path] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._opening[path]
            if waiting == 1:
                del self._opening[path]
            else:
                self._opening[path] = (lock, waiting - 1)


def _close(late: Entry | Filling | None) -> None:
    if late is not None:
        late.close()
