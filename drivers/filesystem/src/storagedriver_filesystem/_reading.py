"""Reading files: whole, as streams, and for their digests."""

from __future__ import annotations

import asyncio
import hashlib
import os

from storagedriver_core import (
    ByteStream,
    ClosedError,
    Conditions,
    ConflictError,
    FileInfo,
    InvalidOffsetError,
    ReadOptions,
    UnavailableError,
    byte_range,
)
from storagedriver_filesystem._beneath import READ, Descriptor, open_beneath
from storagedriver_filesystem._cached import PART_BYTES, CachedFiles
from storagedriver_filesystem._info import full_info
from storagedriver_filesystem._shared import SharedDescriptor
from storagedriver_filesystem._threads import Stop, Threads
from storagedriver_filesystem._tree import Tree

_CHUNK_BYTES = 1024 * 1024


def stat(tree: Tree, path: str, conditions: Conditions | None) -> FileInfo:
    """Tell what is at `path`."""
    with tree.open_root() as root, Descriptor(open_beneath(root, path[1:], READ)) as fd:
        info = full_info(path, fd)
    _require(conditions, info)
    return info


def read_file(tree: Tree, path: str) -> bytes:
    """Give a whole file."""
    with tree.open_root() as root, tree.open_file(root, path) as fd:
        size = os.fstat(fd).st_size
        data = _read(fd, 0, size)
        if len(data) == size:
            return data
        chunks = [data]  # one call gives 2 GiB at most
        while (done := sum(map(len, chunks))) < size:
            chunks.append(_read(fd, done, size - done))
        return b"".join(chunks)


def digest(tree: Tree, path: str, algorithm: str, stop: Stop) -> str:
    """Give the lower-case hex digest of a file."""
    running = hashlib.new(algorithm, usedforsecurity=False)
    with tree.open_root() as root, tree.open_file(root, path) as fd:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        offset = 0
        while count := os.preadv(fd, [buffer], offset):
            running.update(buffer[:count])
            offset += count
            stop.check()
    return running.hexdigest()


def open_stream(
    tree: Tree, threads: Threads, cached: CachedFiles, path: str, options: ReadOptions
) -> FileStream:
    """Open a file and read the first chunk, so that a small file takes one call."""
    with tree.open_root() as root:
        opened = tree.open_file(root, path)
    with opened as fd:
        info = full_info(path, fd)
        _require(options.conditions, info)
        if options.suffix is None and options.offset > info.size:
            raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
        position, end = byte_range(info.size, options)
        parts = cached if cached.has_parts(fd) else None
        first = _read_some(fd, position, end, _CHUNK_BYTES if parts is None else PART_BYTES)
        position += len(first)
        rest = SharedDescriptor(opened.detach()) if position < end else None
    return FileStream(threads, parts, info, rest, first, position, end)


class FileStream(ByteStream):
    """A range of one file, which stays what it was while the path is given to another.

    What the kernel has in memory is read on the event loop, a smaller chunk at a time: a hop to a
    thread and back costs more.

    Args:
        threads: Where to read what is not in memory.
        cached: Reads what is; None if that cannot be told apart.
        info: The file.
        file: The open file; None if there is nothing after `first`.
        first: First bytes of the range.
        position: Offset after them.
        end: Where the range ends.
    """

    def __init__(
        self,
        threads: Threads,
        cached: CachedFiles | None,
        info: FileInfo,
        file: SharedDescriptor | None,
        first: bytes,
        position: int,
        end: int,
    ) -> None:
        self.info = info
        self._threads = threads
        self._cached = cached
        self._file = file
        self._first = first
        self._position = position
        self._end = end

    async def next_chunk(self) -> bytes:
        chunk, self._first = self._first, b""
        if not chunk and self._file is not None and self._position < self._end:
            chunk = await self._read_cached(self._file)
            if not chunk:
                chunk = await self._threads.run(self._read_next, self._file)
            self._position += len(chunk)
        return chunk

    async def aclose(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                await self._threads.finish(file.close)
            except ClosedError:  # the driver was closed first
                file.close()

    def dispose(self) -> None:
        """Close it, where nobody will await `aclose`. Blocks."""
        if self._file is not None:
            self._file.close()

    async def _read_cached(self, file: SharedDescriptor) -> bytes:
        if self._cached is None:
            return b""
        # Nothing here waits: others would not have their turn before the end.
        await asyncio.sleep(0)
        size = min(self.chunk_size, PART_BYTES, self._end - self._position)
        with file.use() as fd:
            return self._cached.part(fd, self._position, size)

    def _read_next(self, file: SharedDescriptor) -> bytes:
        with file.use() as fd:
            return _read_some(fd, self._position, self._end, self.chunk_size)


def _read_some(fd: int, position: int, end: int, most: int) -> bytes:
    return _read(fd, position, min(most, end - position)) if position < end else b""


def _read(fd: int, offset: int, size: int) -> bytes:
    data = os.pread(fd, size, offset)
    if size and not data:
        raise UnavailableError(f"the file was cut short at {offset}")
    return data


def _require(conditions: Conditions | None, info: FileInfo) -> None:
    if conditions is not None and not conditions.hold_for(info):
        raise ConflictError("the conditions do not hold")
