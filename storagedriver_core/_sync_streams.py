"""Readers and writers whose methods block."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from storagedriver_core._errors import ClosedError
from storagedriver_core._loop_thread import LoopThread
from storagedriver_core._reader import FileReader
from storagedriver_core._token import UploadToken
from storagedriver_core._types import Buffer, FileInfo
from storagedriver_core._writer import FileWriter, WriterState

if TYPE_CHECKING:
    from typing import Self


P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def stamped(driver_name: str, operation: str, path: str) -> Iterator[None]:
    """Say of a call that is refused before it comes to the storage what it was."""
    try:
        yield
    except ClosedError as error:
        error.stamp(driver_name, operation, path)
        raise


class SyncReader:
    """A `FileReader` whose methods block, and an iterator of its chunks.

    One thread at a time may use it.
    """

    def __init__(self, loop: LoopThread, driver_name: str, reader: FileReader) -> None:
        self.info = reader.info
        self._driver_name = driver_name
        self._loop = loop
        self._reader = reader

    def __repr__(self) -> str:
        return f"<SyncReader of {self._reader!r}>"

    @property
    def position(self) -> int:
        """Offset in the object of the next byte."""
        return self._reader.position

    def set_chunk_size(self, size: int) -> None:
        """Wish for chunks of so many bytes at most, from the next one on; at least 1."""

        # On the loop's thread, where the stream is used.
        async def set_chunk_size() -> None:
            self._reader.set_chunk_size(size)

        self._run(set_chunk_size)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        async def read() -> bytes:
            return await anext(self._reader, b"")

        if chunk := self._run(read):
            return chunk
        raise StopIteration

    def read(self, size: int = -1) -> bytes:
        """Give the next `size` bytes, fewer only at the end; all that is left for -1."""
        return self._run(self._reader.read, size)

    def seek(self, offset: int) -> None:
        """Go to `offset` of the object; reading then goes on to the object's end."""
        self._run(self._reader.seek, offset)

    def close(self) -> None:
        """Release the connection or descriptor. Idempotent."""
        if self._loop.is_running:
            self._loop.run(self._reader.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(
        self, method: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with stamped(self._driver_name, method.__name__, self.info.path):
            return self._loop.run(method, *args, **kwargs)


class SyncWriter:
    """A `FileWriter` whose methods block; its rules are that one's."""

    def __init__(self, loop: LoopThread, driver_name: str, writer: FileWriter) -> None:
        self._driver_name = driver_name
        self._loop = loop
        self._writer = writer

    def __repr__(self) -> str:
        return f"<SyncWriter of {self._writer!r}>"

    @property
    def path(self) -> str:
        """Path that the writer was opened for."""
        return self._writer.path

    @property
    def state(self) -> WriterState:
        """Where the writer stands."""
        return self._writer.state

    @property
    def offset(self) -> int:
        """Bytes accepted."""
        return self._writer.offset

    @property
    def durable_offset(self) -> int:
        """Bytes that survive the loss of this process, and that the token promises."""
        return self._writer.durable_offset

    @property
    def digests(self) -> dict[str, str]:
        """Lower-case hex digests of everything written, by algorithm; known after `commit`."""
        return self._writer.digests

    def write(self, data: Buffer, *, offset: int | None = None, frozen: bool = False) -> None:
        """Accept `data`, whole."""
        self._run(self._writer.write, data, offset=offset, frozen=frozen)

    def token(self) -> UploadToken:
        """Give the state at `durable_offset`, with which any process can go on."""

        async def token() -> UploadToken:
            return self._writer.token()

        return self._run(token)

    def suspend(self) -> UploadToken:
        """Make everything accepted durable, release local resources, and give the token."""
        return self._run(self._writer.suspend)

    def commit(
        self,
        *,
        to: str | None = None,
        if_absent: bool = False,
        size: int | None = None,
        digest: str | None = None,
    ) -> FileInfo:
        """Publish what was written, whole, at the path or at `to`."""
        return self._run(self._writer.commit, to=to, if_absent=if_absent, size=size, digest=digest)

    def cancel(self) -> None:
        """Drop the upload and everything that was written."""
        self._run(self._writer.cancel)

    def close(self) -> None:
        """Let go. Publishes nothing; cancels the upload unless a token was handed out."""
        if self._loop.is_running:
            self._loop.run(self._writer.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(
        self, method: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with stamped(self._driver_name, method.__name__, self.path):
            return self._loop.run(method, *args, **kwargs)
