"""A blob on its way, in a file without a name: one who writes, any number who follow.

```text
            append                       finish: everything came, and is right
  ┌──► COMING ──┐ ─────────────────────────────────────────────────► WHOLE
  └─────────────┘ ─────────────────────────────────────────────────► FAILED
                       fail: the upstream broke off, or sent other bytes
```

Rule 1: a follower is given what has come, from wherever it stands, at its own pace, and holds one
piece of it in memory. Nobody waits for a slow one, and nothing is queued for it.
Rule 2: the last byte is given when everything is known to be right, and not before. So whoever has
got everything has got the right thing, and everybody else sees that it is not whole.
Rule 3: once the blob is stored, who follows goes on from there, and the file is let go of: clients
that do not read take no room.
Rule 4: the file has no name, so that nothing is left of it, whatever becomes of the process.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import IO, TypeAlias

from storagedriver_core import (
    ConfigurationError,
    FileReader,
    NoSpaceError,
    UnavailableError,
    finish,
)
from storagedriver_registry.proxy.errors import UpstreamBrokenError

# Less costs hops between threads; more costs memory, here and in the server, for each follower.
_READ_BYTES = 512 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

Stored: TypeAlias = Callable[[int, int], Awaitable[FileReader]]
"""Opens the stored blob: offset, and how many bytes."""


def check_directory(directory: str | None) -> None:
    """See that spools can be made; blocks.

    Args:
        directory: Where; None for the system's directory of temporary files.

    Raises:
        ConfigurationError: They cannot.
    """
    try:
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        # What is full may have room later, and what is cached can be served.
        if error.errno not in _FULL:
            raise ConfigurationError(f"proxy.spool: {error}") from error


@contextmanager
def _translating(directory: str | None) -> Iterator[None]:
    """Let errors of the disk pass as what they are: not the upstream's, nor the storage's."""
    try:
        yield
    except OSError as error:
        where = "the system's directory of temporary files" if directory is None else directory
        what = f"proxy.spool, {where}: {error.strerror}"
        if error.errno in _FULL:
            raise NoSpaceError(what) from error
        raise UnavailableError(what) from error


class Spool:
    """The bytes of one blob while they come.

    Args:
        size: How many will come.
        directory: Where the file is; None for the system's directory of temporary files.

    Raises:
        NoSpaceError: There is no room for the file.
        UnavailableError: It cannot be made.

    Attributes:
        size: How many will come.
        received: How many have come.
        is_whole: Whether all of them have, and are right.
        stored: Opens the stored blob; None as long as it is not stored.
    """

    def __init__(self, size: int, directory: str | None) -> None:
        self.size = size
        self.received = 0
        self.is_whole = False
        self.stored: Stored | None = None
        with _translating(directory):
            made = tempfile.TemporaryFile(buffering=0, dir=directory)  # noqa: SIM115  # kept open
        # Until the last of those who need it lets go of it.
        self._file: IO[bytes] | None = made
        self._directory = directory
        self._users = 1
        self._reading = 0
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    async def append(self, data: bytes) -> None:
        """Take bytes that have come.

        Raises:
            UpstreamBrokenError: They are more than were announced.
            NoSpaceError: There is no room for them.
            UnavailableError: They cannot be kept.
        """
        if self.received + len(data) > self.size:
            raise UpstreamBrokenError(f"more than the {self.size} bytes that were announced")
        # Cancelled half-way, it would write into whatever the descriptor is by then.
        with _translating(self._directory):
            await finish(asyncio.to_thread(self._write, data))
        self.received += len(data)
        self._tell()

    def finish(self) -> None:
        """Say that nothing more comes, and that it has the right digest.

        Raises:
            UpstreamBrokenError: It is less than was announced.
        """
        if self.received != self.size:
            raise UpstreamBrokenError(f"{self.received} bytes came of {self.size}")
        self.is_whole = True
        self._tell()

    def fail(self, error: Exception) -> None:
        """Say that it is nothing: everybody who follows is told so."""
        self._failure = error
        self._tell()

    def follow(self, offset: int = 0, length: int | None = None) -> SpoolReader:
        """Give the bytes from an offset on, as they come."""
        self._users += 1
        return SpoolReader(self, offset, self.size if length is None else offset + length)

    def release(self) -> None:
        """Need it no more; the last one lets go of the file."""
        self._users -= 1
        self._close_unneeded()

    def hand_over(self, stored: Stored) -> None:
        """Say that what is whole is stored: everybody goes on from there."""
        self.stored = stored
        self._close_unneeded()

    async def whole(self) -> None:
        """Wait until everything has come and is right."""
        while not self.is_whole:
            await self._change()

    async def read(self, offset: int, most: int) -> bytes:
        """Give some bytes from an offset on, `most` of them at most, once there are any.

        None are given by one that is stored.
        """
        while (ready := self._readable() - offset) <= 0:
            await self._change()
        if self._failure is not None:
            raise self._failure
        if self.stored is not None:
            return b""
        size = min(ready, most, _READ_BYTES)
        self._reading += 1
        try:
            with _translating(self._directory):
                return await finish(asyncio.to_thread(self._read, size, offset))
        finally:
            self._reading -= 1
            self._close_unneeded()

    def _close_unneeded(self) -> None:
        if not self._reading and (self.stored is not None or not self._users):
            file, self._file = self._file, None
            if file is not None:
                _close_aside(file)

    def _readable(self) -> int:
        if self.is_whole or self.received < self.size:
            return self.received
        return self.size - 1

    async def _change(self) -> None:
        if self._failure is not None:
            raise self._failure
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _read(self, size: int, offset: int) -> bytes:
        assert self._file is not None
        return os.pread(self._file.fileno(), size, offset)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


def _close_aside(file: IO[bytes]) -> None:
    """Close a file that has no name, in a thread.

    The system frees its room then, which takes a quarter of a second for each GiB (ext4).
    """
    try:
        asyncio.get_running_loop().run_in_executor(None, file.close)
    except RuntimeError:  # no loop runs here, or it ends
        file.close()


class SpoolReader:
    """Follows a spool; gives pieces as an asynchronous iterator. To be used in `async with`."""

    def __init__(self, spool: Spool, offset: int, end: int) -> None:
        self._spool = spool
        self._offset = offset
        self._end = end
        self._first = b""
        self._stored: FileReader | None = None
        self._is_open = True

    def __del__(self) -> None:
        self.close()

    async def __aenter__(self) -> SpoolReader:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self._close_stored()

    def __aiter__(self) -> SpoolReader:
        return self

    async def begin(self) -> None:
        """Wait for the first piece, which is given whatever happens then.

        So who answers with it knows that there is something, and whoever is answered can be cut
        off: a server that has sent nothing yet would answer for itself.
        """
        self._first = await self._next()

    async def __anext__(self) -> bytes:
        first, self._first = self._first, b""
        return first or await self._next()

    async def _next(self) -> bytes:
        if self._offset >= self._end:
            # Nothing, too, may be the wrong thing.
            if self._end == self._spool.size:
                await self._spool.whole()
            raise StopAsyncIteration
        rest = self._end - self._offset
        data = await self._spool.read(self._offset, rest) or await self._read_stored(rest)
        self._offset += len(data)
        return data

    async def _read_stored(self, rest: int) -> bytes:
        assert self._spool.stored is not None
        try:
            if self._stored is None:
                self._stored = await self._spool.stored(self._offset, rest)
            data = await self._stored.read(min(rest, _READ_BYTES))
            if not data:
                raise UnavailableError(f"the stored blob ends at {self._offset}, not {self._end}")
            return data
        except BaseException:
            # Who fails to begin never comes to `async with`.
            await self._close_stored()
            raise

    async def _close_stored(self) -> None:
        stored, self._stored = self._stored, None
        if stored is not None:
            await stored.aclose()

    async def read_all(self) -> bytes:
        """Give all of it once it is whole, and follow no more."""
        async with self:
            return b"".join([data async for data in self])

    def close(self) -> None:
        """Follow no more."""
        if self._is_open:
            self._is_open = False
            self._spool.release()
