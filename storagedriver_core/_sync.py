"""The blocking facade: `Storage` for code without an event loop."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from storagedriver_core._body import Body, chunks_of, is_source
from storagedriver_core._capabilities import Capabilities
from storagedriver_core._copying import Progress
from storagedriver_core._loop_thread import LoopIterator, LoopThread
from storagedriver_core._parts import DEFAULT_PART_SIZE
from storagedriver_core._reader import FileReader
from storagedriver_core._storage import Storage
from storagedriver_core._sync_body import CallersBody
from storagedriver_core._sync_streams import SyncReader, SyncWriter, stamped
from storagedriver_core._token import UploadToken
from storagedriver_core._types import (
    Conditions,
    DeleteReport,
    FileInfo,
    SignedMethod,
    UploadInfo,
)
from storagedriver_core._writer import FileWriter

if TYPE_CHECKING:
    from typing import Self


P = ParamSpec("P")
T = TypeVar("T")


class SyncStorage:
    """A `Storage` whose methods block; any number of threads may call them.

    ```python
    with SyncStorage(Storage(driver)) as storage:
        storage.put_content("/a/b", b"...")
    ```

    The methods are those of `Storage`, where they are described; `close` stands for `aclose`. The
    operations run on an event loop in a thread that the instance starts when it is opened and ends
    when it is closed. `ClosedError` comes at once where blocking could not work: inside a running
    event loop, in a forked child, before `open` and after `close`. An interrupt (Ctrl-C) cancels
    the operation that is waited for.

    Args:
        storage: The storage, unopened. It is opened and closed with this.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._loop = LoopThread()
        self._streams: weakref.WeakSet[FileReader | FileWriter] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"<SyncStorage of {self._storage!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        # An unopened copy: the thread belongs to this process.
        return (SyncStorage, (self._storage,))

    @property
    def driver_name(self) -> str:
        """Name of the driver."""
        return self._storage.driver_name

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can do, as configured."""
        return self._storage.capabilities

    # Life --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the thread and open the storage. `with` does it."""
        with self._stamped("open", ""):
            self._loop.start()
        try:
            self._run("", self._storage.open)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close open streams and the storage, and end the thread. Idempotent.

        Operations of other threads end.
        """
        self._loop.stop(self._close)

    async def _close(self) -> None:
        # After this nobody could: there is no loop any more on which a stream could be closed.
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._storage.aclose)
            for stream in tuple(self._streams):
                stack.push_async_callback(stream.aclose)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def check(self) -> None:
        """Return if the store can be reached and used; else raise what stands against it."""
        self._run("", self._storage.check)

    def identity(self) -> Mapping[str, str]:
        """Tell who the driver is to its store, and which store that is; never a secret."""
        return self._run("", self._storage.identity)

    def now(self) -> datetime:
        """Give the aware UTC time by the store's clock, which the ages of uploads go by."""
        return self._run("", self._storage.now)

    # Reading -----------------------------------------------------------------------------------

    def get_content(self, path: str) -> bytes:
        """Give a whole small file."""
        return self._run(path, self._storage.get_content, path)

    def reader(
        self,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        suffix: int | None = None,
        conditions: Conditions | None = None,
        chunk_size: int = DEFAULT_PART_SIZE,
        concurrency: int = 1,
    ) -> SyncReader:
        """Open a file for streamed reading; all bytes come from one version of it."""
        reader = self._run(
            path,
            self._storage.reader,
            path,
            offset=offset,
            length=length,
            suffix=suffix,
            conditions=conditions,
            chunk_size=chunk_size,
            concurrency=concurrency,
        )
        self._streams.add(reader)
        return SyncReader(self._loop, self.driver_name, reader)

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Give several `(offset, length)` ranges of one version, in the order asked."""
        return self._run(path, self._storage.read_ranges, path, ranges)

    def stat(self, path: str, *, conditions: Conditions | None = None) -> FileInfo:
        """Tell what is at `path`, a file or a directory; `/` always exists."""
        return self._run(path, self._storage.stat, path, conditions=conditions)

    def list(
        self,
        path: str,
        *,
        start_after: str | None = None,
        limit: int | None = None,
        page_size: int = 1000,
    ) -> LoopIterator[FileInfo]:
        """Give the direct children of a directory, with sizes and times."""
        return self._iterate(
            path,
            self._storage.list,
            path,
            start_after=start_after,
            limit=limit,
            page_size=page_size,
        )

    def walk(
        self,
        path: str,
        *,
        start_after: str | None = None,
        limit: int | None = None,
        page_size: int = 1000,
    ) -> LoopIterator[FileInfo]:
        """Give every file below a directory; in byte order of the path with `ordered_walk`."""
        return self._iterate(
            path,
            self._storage.walk,
            path,
            start_after=start_after,
            limit=limit,
            page_size=page_size,
        )

    # Writing -----------------------------------------------------------------------------------

    def put_content(
        self,
        path: str,
        data: Body,
        *,
        size: int | None = None,
        digest: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        frozen: bool = False,
    ) -> FileInfo:
        """Store a file, replacing what is there, whole or not at all.

        A file or plain iterator is read in the thread of the caller.
        """
        put = partial(
            self._storage.put_content,
            path,
            size=size,
            digest=digest,
            content_type=content_type,
            metadata=metadata,
            if_absent=if_absent,
            if_match=if_match,
            frozen=frozen,
        )
        with self._stamped("put_content", path):
            if not is_source(data):
                return self._loop.run(put, data)
            body = CallersBody(chunks_of(data))
            return self._loop.run_beside(body.serve, put, body.chunks())

    def writer(
        self,
        path: str,
        *,
        max_size: int | None = None,
        hashes: Sequence[str] = ("sha256",),
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> SyncWriter:
        """Open a resumable writer. Nothing shows at `path` before its `commit`."""
        writer = self._run(
            path,
            self._storage.writer,
            path,
            max_size=max_size,
            hashes=hashes,
            content_type=content_type,
            metadata=metadata,
        )
        self._streams.add(writer)
        return SyncWriter(self._loop, self.driver_name, writer)

    def resume(self, token: UploadToken | str) -> SyncWriter:
        """Go on with an upload from a token (or its JSON), in any process."""
        writer = self._run("", self._storage.resume, token)
        self._streams.add(writer)
        return SyncWriter(self._loop, self.driver_name, writer)

    # Moving and deleting -----------------------------------------------------------------------

    def move(
        self,
        source: str,
        target: str,
        *,
        if_absent: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Move a file, replacing one at `target`. `progress` is called in the loop's thread."""
        self._run(
            source, self._storage.move, source, target, if_absent=if_absent, progress=progress
        )

    def copy(
        self,
        source: str,
        target: str,
        *,
        if_absent: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Copy a file within the store. `progress` is called in the loop's thread."""
        self._run(
            source, self._storage.copy, source, target, if_absent=if_absent, progress=progress
        )

    def delete(
        self,
        path: str,
        *,
        missing_ok: bool = False,
        everything: bool = False,
        recursive: bool = True,
    ) -> None:
        """Delete a file, or a directory with everything below it."""
        self._run(
            path,
            self._storage.delete,
            path,
            missing_ok=missing_ok,
            everything=everything,
            recursive=recursive,
        )

    def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        """Delete files; the report says for each path what became of it."""
        return self._run("", self._storage.delete_many, paths)

    # Others ------------------------------------------------------------------------------------

    def checksum(self, path: str, algorithm: str) -> str:
        """Give the file's digest in lower-case hex, without reading it here."""
        return self._run(path, self._storage.checksum, path, algorithm)

    def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod = "GET",
        expires: timedelta = timedelta(minutes=20),
        content_type: str | None = None,
    ) -> str:
        """Give a URL at which a plain HTTP client can do `method` for some time."""
        return self._run(
            path,
            self._storage.redirect_url,
            path,
            method=method,
            expires=expires,
            content_type=content_type,
        )

    def local_path(self, path: str) -> str:
        """Give a path at which the operating system can open the file."""
        return self._run(path, self._storage.local_path, path)

    def list_uploads(self) -> LoopIterator[UploadInfo]:
        """Give every upload in progress, in any order."""
        return self._iterate("", self._storage.list_uploads)

    def purge_uploads(
        self, *, older_than: timedelta, dry_run: bool = False
    ) -> Sequence[UploadInfo]:
        """Abort uploads that nothing has changed for a time, by the store's clock."""
        return self._run("", self._storage.purge_uploads, older_than=older_than, dry_run=dry_run)

    def _run(
        self,
        path: str,
        method: Callable[P, Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        with self._stamped(method.__name__, path):
            return self._loop.run(method, *args, **kwargs)

    def _iterate(
        self,
        path: str,
        method: Callable[P, AsyncGenerator[T, None]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> LoopIterator[T]:
        return self._loop.iterate(
            lambda: method(*args, **kwargs), lambda: self._stamped(method.__name__, path)
        )

    def _stamped(self, operation: str, path: str) -> AbstractContextManager[None]:
        return stamped(self.driver_name, operation, path)
