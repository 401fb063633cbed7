"""The portable layer that users hold."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from storagedriver_core._body import Body, check_body
from storagedriver_core._capabilities import Capabilities
from storagedriver_core._context import Context, Observer
from storagedriver_core._copying import Progress, copy_in_parts, is_transfer, needs_parts
from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import (
    ClosedError,
    ConfigurationError,
    ConflictError,
    InvalidOffsetError,
    InvalidPathError,
    PathNotFoundError,
    StorageDriverError,
    UnsupportedMethodError,
)
from storagedriver_core._parts import DEFAULT_PART_SIZE
from storagedriver_core._paths import is_internal
from storagedriver_core._putting import put_buffer, put_options, put_stream
from storagedriver_core._reader import FileReader, ParallelStream
from storagedriver_core._token import UploadToken
from storagedriver_core._types import (
    Conditions,
    DeleteReport,
    FileInfo,
    ListOptions,
    ReadOptions,
    SignedMethod,
    UploadInfo,
)
from storagedriver_core._uploads import each_upload, open_writer, purge_uploads, resume_writer
from storagedriver_core._writer import FileWriter

if TYPE_CHECKING:
    from typing import Self


class Storage:
    """One store, opened through one driver.

    ```python
    async with Storage(driver) as storage:
        await storage.put_content("/a/b", b"...")
    ```

    Every method checks path, range and capability before anything is sent, and raises errors of
    the tree in `StorageDriverError`, stamped with driver name, operation and path. An instance
    belongs to the event loop and the process that opened it. It opens and closes the driver.

    Args:
        driver: The driver, unopened.
        narrow: Capabilities to narrow, by field.
        part_size: Bytes of a part of an upload, where the store's limits allow.
        observers: Called after each operation, on the loop: cheap, and never on the byte path. Of
            a stream that is never closed they are told when it is collected, with the
            `ResourceWarning` as its error.

    Raises:
        ConfigurationError: `narrow` would widen.
    """

    def __init__(
        self,
        driver: StorageDriver,
        *,
        narrow: Mapping[str, Any] | None = None,
        part_size: int = DEFAULT_PART_SIZE,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._context = Context(driver, dict(narrow or {}), part_size, observers)
        self._narrow = dict(narrow or {})

    def __repr__(self) -> str:
        state = "open" if self._context.is_open else "closed"
        return f"<Storage on {self._context.name!r} {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        # An unopened copy: what is open belongs to this process.
        context = self._context
        make = functools.partial(Storage, narrow=self._narrow, part_size=context.part_size)
        return (make, (context.driver,))

    @property
    def driver_name(self) -> str:
        """Name of the driver."""
        return self._context.name

    @property
    def driver(self) -> StorageDriver:
        """The driver itself, for who serves it on; nothing is checked for who calls it."""
        return self._context.driver

    @property
    def capabilities(self) -> Capabilities:
        """What this storage can do, as configured.

        Before it is open, the most that it can be, for drivers that learn it from another process.
        """
        return self._context.capabilities

    # Life --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the driver. `async with` does it.

        Raises:
            ConfigurationError: The store does not exist, or is not what the driver expects; or a
                capability would be widened that is known only now.
            ClosedError: It is open already.
        """
        context = self._context
        if context.is_open:
            raise ClosedError("the storage is already open", driver_name=context.name)
        try:
            await context.driver.open()
            try:
                context.opened()
            except ConfigurationError:
                await context.driver.aclose()
                raise
        except StorageDriverError as error:
            if isinstance(error, ConfigurationError) and error.key and context.locate is not None:
                raise context.locate(error).stamp(context.name, "open", "") from error
            error.stamp(context.name, "open", "")
            raise

    async def aclose(self) -> None:
        """Close the driver. Idempotent."""
        if self._context.is_open:
            self._context.closed()
            await self._context.driver.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def check(self) -> None:
        """Return if the store can be reached and used; else raise what stands against it."""
        with self._context.operation("check", ""):
            await self._context.driver.check()

    async def identity(self) -> Mapping[str, str]:
        """Tell who the driver is to its store, and which store that is; never a secret.

        Returns:
            Facts in order of interest, such as `credentials` (where they come from), `endpoint` and
            `bucket`; empty where the driver tells nothing.
        """
        with self._context.operation("identity", ""):
            return await self._context.driver.identity()

    async def now(self) -> datetime:
        """Give the aware UTC time by the store's clock, which the ages of uploads go by."""
        with self._context.operation("now", ""):
            return await self._context.driver.now()

    # Reading -----------------------------------------------------------------------------------

    async def get_content(self, path: str) -> bytes:
        """Give a whole small file.

        Raises:
            PathNotFoundError: There is no file.
        """
        with self._context.operation("get_content", path) as operation:
            self._context.check(path)
            data = await self._context.driver.get_content(path)
            operation.size = len(data)
            return data

    async def reader(
        self,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        suffix: int | None = None,
        conditions: Conditions | None = None,
        chunk_size: int = DEFAULT_PART_SIZE,
        concurrency: int = 1,
    ) -> FileReader:
        """Open a file for streamed reading; all bytes come from one version of it.

        Args:
            path: The file.
            offset: First byte. Equal to the size gives nothing.
            length: Bytes to read, cut at the end; None or negative means to the end.
            suffix: Instead: the last so many bytes.
            conditions: What the object must meet.
            chunk_size: Bytes of one request, where `concurrency` is above 1; at least 1.
            concurrency: Requests at once; at least 1.

        Raises:
            PathNotFoundError: There is no file.
            InvalidOffsetError: `offset` or `suffix` is negative, or `offset` beyond the end.
            ConflictError: The conditions do not hold.
        """
        with self._context.operation("reader", path):
            self._context.check(path)
            if length is not None and length < 0:
                length = None
            for given in (offset, suffix or 0):
                if given < 0:
                    raise InvalidOffsetError(f"{given} is negative", offset=given)
            if suffix is not None and (offset or length is not None):
                raise ValueError("suffix stands alone: no offset, no length")
            if chunk_size < 1 or concurrency < 1:
                raise ValueError("chunk_size and concurrency are at least 1")
            options = ReadOptions(
                offset=offset, length=length, suffix=suffix, conditions=conditions
            )
            if offset or length is not None or suffix is not None:
                self._context.require("get_range")
            if conditions is not None:
                self._context.require("get_with_conditions")
            context = self._context
            if concurrency > 1:
                stream = await self._parallel_stream(path, options, chunk_size, concurrency)
            else:
                stream = await context.driver.open_reader(path, options)
            return FileReader(context, stream, options)

    async def _parallel_stream(
        self, path: str, options: ReadOptions, chunk_size: int, concurrency: int
    ) -> ByteStream:
        self._context.require("get_range")
        self._context.require("get_with_conditions")
        info = await self._context.driver.stat(path, options.conditions)
        if info.is_dir:
            raise PathNotFoundError("a directory is not a file")
        if options.offset > info.size:
            raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
        return ParallelStream(
            self._context.driver, info, options, chunk_size=chunk_size, concurrency=concurrency
        )

    async def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Give several `(offset, length)` ranges of one version, in the order asked.

        Raises:
            ConflictError: The object was replaced in between.
        """
        with self._context.operation("read_ranges", path):
            self._context.check(path)
            self._context.require("get_range")
            results = []
            pinned: Conditions | None = None
            for offset, length in ranges:
                reader = await self.reader(path, offset=offset, length=length, conditions=pinned)
                async with reader:
                    results.append(await reader.read())
                    if pinned is None and self._context.capabilities.get_with_conditions:
                        pinned = Conditions(if_match=reader.info.etag)
            return results

    async def stat(self, path: str, *, conditions: Conditions | None = None) -> FileInfo:
        """Tell what is at `path`, a file or a directory; `/` always exists.

        Raises:
            PathNotFoundError: Nothing is there.
            ConflictError: The conditions do not hold.
        """
        with self._context.operation("stat", path):
            if path != "/":
                self._context.check(path)
            if conditions is not None:
                self._context.require("get_with_conditions")
            return await self._context.driver.stat(path, conditions)

    def list(
        self,
        path: str,
        *,
        start_after: str | None = None,
        limit: int | None = None,
        page_size: int = 1000,
    ) -> AsyncGenerator[FileInfo, None]:
        """Give the direct children of a directory, with sizes and times.

        Args:
            path: The directory; `/` always exists.
            start_after: Only entries after this path in byte order, a directory counted with a
                trailing `/`. Needs `walk_with_start_after`.
            limit: Entries at most.
            page_size: Entries in one request.

        Raises:
            PathNotFoundError: There is no such directory. Raised at the first step.
        """
        return self._entries("list", path, start_after, limit, page_size)

    def walk(
        self,
        path: str,
        *,
        start_after: str | None = None,
        limit: int | None = None,
        page_size: int = 1000,
    ) -> AsyncGenerator[FileInfo, None]:
        """Give every file below a directory; in byte order of the path with `ordered_walk`.

        Takes and raises what `list` does.
        """
        return self._entries("walk", path, start_after, limit, page_size)

    async def _entries(
        self, operation: str, path: str, start_after: str | None, limit: int | None, page_size: int
    ) -> AsyncGenerator[FileInfo, None]:
        with self._context.operation(operation, path):
            if path != "/":
                self._context.check(path)
            if start_after is not None:
                self._context.require("walk_with_start_after")
            options = ListOptions(start_after, max(1, page_size))
            driver = self._context.driver
            pages = (driver.list if operation == "list" else driver.walk)(path, options)
        left = limit
        try:
            while left is None or left > 0:
                with self._context.operation(operation, path):
                    page = await anext(pages, None)
                if page is None:
                    return
                for entry in page:
                    if is_internal(entry.path):
                        continue
                    yield entry
                    if left is not None:
                        left -= 1
                        if left == 0:
                            return
        finally:
            await pages.aclose()

    # Writing -----------------------------------------------------------------------------------

    async def put_content(
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

        Args:
            path: The file.
            data: Bytes, a binary file, or a plain or asynchronous iterator of bytes. What is
                larger than a part goes up in parts. An asynchronous generator is closed at the end,
                also after an error.
            size: Bytes that `data` must have.
            digest: Digest that `data` must have, as `sha256:<hex>`.
            content_type: Media type to keep.
            metadata: User metadata to keep.
            if_absent: Refuse if there is an object.
            if_match: Refuse unless the object there has this etag.
            frozen: Whether nobody changes what an iterator has given. Other buffers than `bytes`
                are copied otherwise.

        Returns:
            What a following `stat` says.

        Raises:
            ChecksumMismatchError: Size or digest differ; what was there stays.
            AlreadyExistsError: `if_absent`, and there is an object.
            ConflictError: `if_match` does not hold, or the path lies under a file, or is a
                directory, where names cannot be shared.
        """
        with self._context.operation("put_content", path) as operation:
            self._context.check(path)
            check_body(data)
            options = put_options(
                self._context,
                content_type=content_type,
                metadata=metadata,
                if_absent=if_absent,
                if_match=if_match,
            )
            if isinstance(data, bytes | bytearray | memoryview):
                info = await put_buffer(
                    self._context, path, data, options, size=size, digest=digest
                )
            else:
                info = await put_stream(
                    self._context, path, data, options, size=size, digest=digest, frozen=frozen
                )
            operation.size = info.size
            return info

    async def writer(
        self,
        path: str,
        *,
        max_size: int | None = None,
        hashes: Sequence[str] = ("sha256",),
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> FileWriter:
        """Open a resumable writer. Nothing shows at `path` before its `commit`.

        Args:
            path: The file.
            max_size: Bytes that will come at most; part sizes are chosen so that they fit.
            hashes: Digests to compute while writing.
            content_type: Media type to keep.
            metadata: User metadata to keep.

        Raises:
            LimitExceededError: `max_size` cannot fit.
        """
        with self._context.operation("writer", path):
            self._context.check(path)
            options = put_options(self._context, content_type=content_type, metadata=metadata)
            return await open_writer(
                self._context,
                path,
                max_size=max_size,
                hashes=hashes,
                content_type=options.content_type,
                metadata=options.metadata,
            )

    async def resume(self, token: UploadToken | str) -> FileWriter:
        """Go on with an upload from a token (or its JSON), in any process.

        Everything after the token's offset has to be written again. If the upload has been
        committed meanwhile and its object is still there, `commit` succeeds at once.

        Raises:
            UploadNotFoundError: It was cancelled, purged or has expired; or (`outcome`
                `unknown`) was committed and the object then replaced or moved.
            ConflictError: Another writer holds it.
            ConfigurationError: No token, of a newer version, or another driver's.
            TypeError: Neither a token nor text.
        """
        with self._context.operation("resume", "") as operation:
            if isinstance(token, str):
                token = UploadToken.from_json(token)
            if not isinstance(token, UploadToken):
                raise TypeError(
                    f"a token is an UploadToken or its JSON as str, not {type(token).__name__}"
                )
            operation.path = token.upload.path
            return await resume_writer(self._context, token)

    # Moving and deleting -----------------------------------------------------------------------

    async def move(
        self,
        source: str,
        target: str,
        *,
        if_absent: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Move a file, replacing one at `target`. Onto itself it changes nothing.

        Args:
            source: The file.
            target: Where to.
            if_absent: Refuse if there is an object at `target`.
            progress: Called with the bytes copied so far, where the store has to copy.

        Raises:
            PathNotFoundError: There is no file at `source`; `target` is untouched.
            ConflictError: `target` is a directory.
            AlreadyExistsError: `if_absent`, and there is an object at `target`.
        """
        with self._context.operation("move", source):
            context = self._context
            if not await is_transfer(
                context, source, target, if_absent=if_absent, verb="move_if_absent"
            ):
                return
            atomic = context.capabilities.move == "atomic"
            large = None if atomic else await needs_parts(context, source)
            if large is None:
                await context.driver.move(source, target, if_absent=if_absent)
            else:
                await copy_in_parts(context, large, target, if_absent=if_absent, progress=progress)
                await context.driver.delete(source)

    async def copy(
        self,
        source: str,
        target: str,
        *,
        if_absent: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Copy a file within the store, with content type and metadata. Needs `copy`.

        Takes and raises what `move` does. A cancelled copy leaves nothing behind.
        """
        with self._context.operation("copy", source):
            self._context.require("copy")
            context = self._context
            if not await is_transfer(
                context, source, target, if_absent=if_absent, verb="copy_if_absent"
            ):
                return
            large = await needs_parts(context, source)
            if large is None:
                await context.driver.copy(source, target, if_absent=if_absent)
            else:
                await copy_in_parts(context, large, target, if_absent=if_absent, progress=progress)

    async def delete(
        self,
        path: str,
        *,
        missing_ok: bool = False,
        everything: bool = False,
        recursive: bool = True,
    ) -> None:
        """Delete a file, or a directory with everything below it.

        Args:
            path: What to delete; `/` needs `everything=True`.
            missing_ok: Do not mind if nothing is there.
            everything: Allow `/`.
            recursive: If False, refuse a directory.

        Raises:
            PathNotFoundError: Nothing is there.
            ConflictError: `recursive` is False, and it is a directory.
            PartialDeleteError: Some paths could not be deleted; a repetition finishes.
        """
        with self._context.operation("delete", path):
            if path != "/":
                self._context.check(path)
            elif not everything:
                raise InvalidPathError("deleting '/' needs everything=True")
            try:
                if not recursive and (await self._context.driver.stat(path)).is_dir:
                    raise ConflictError("a directory, which only a recursive delete takes")
                await self._context.driver.delete(path)
            except PathNotFoundError:
                if not missing_ok:
                    raise

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        """Delete files; the report says for each path what became of it."""
        with self._context.operation("delete_many", ""):
            for path in paths:
                self._context.check(path)
            return await self._context.driver.delete_many(paths)

    # Others ------------------------------------------------------------------------------------

    async def checksum(self, path: str, algorithm: str) -> str:
        """Give the file's digest in lower-case hex, without reading it here.

        Raises:
            UnsupportedMethodError: `algorithm` is not in `checksum_algorithms`.
        """
        with self._context.operation("checksum", path):
            self._context.check(path)
            if algorithm not in self._context.capabilities.checksum_algorithms:
                raise UnsupportedMethodError(capability="checksum_algorithms")
            return await self._context.driver.checksum(path, algorithm)

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod = "GET",
        expires: timedelta = timedelta(minutes=20),
        content_type: str | None = None,
    ) -> str:
        """Give a URL at which a plain HTTP client can do `method` for some time.

        Args:
            path: The file. Whether it is there is not looked up.
            method: What the URL is good for.
            expires: How long it is; positive.
            content_type: For `PUT` alone: the media type that the request has to carry.

        Raises:
            UnsupportedMethodError: The driver signs no URLs for this method, or cannot demand a
                media type.
            LimitExceededError: The store signs for no such long time.
        """
        with self._context.operation("redirect_url", path):
            self._context.check(path)
            if method not in ("GET", "HEAD", "PUT"):
                raise ValueError(f"method is GET, HEAD or PUT, not {method!r}")
            if expires <= timedelta(0):
                raise ValueError("expires is a positive time")
            if content_type is not None and method != "PUT":
                raise ValueError("content_type is for PUT alone")
            self._context.require(f"sign_{method.lower()}")
            if content_type is not None:
                self._context.require("sign_put_with_content_type")
            return await self._context.driver.redirect_url(
                path, method=method, expires=expires, content_type=content_type
            )

    async def local_path(self, path: str) -> str:
        """Give a path at which the operating system can open the file.

        Raises:
            PathNotFoundError: There is no file.
            UnsupportedMethodError: The files are not local.
        """
        with self._context.operation("local_path", path):
            self._context.check(path)
            self._context.require("local_path")
            return await self._context.driver.local_path(path)

    def list_uploads(self) -> AsyncGenerator[UploadInfo, None]:
        """Give every upload in progress, in any order."""
        with self._context.operation("list_uploads", ""):
            self._context.require("list_uploads")
            return each_upload(self._context)

    async def purge_uploads(
        self, *, older_than: timedelta, dry_run: bool = False
    ) -> Sequence[UploadInfo]:
        """Abort uploads that nothing has changed for a time, by the store's clock.

        An upload that a writer holds now is left alone, and so is one that another purger gets
        first. Sidecars of uploads that are gone go too.

        Args:
            older_than: How long ago the last change must be.
            dry_run: Only tell.

        Returns:
            The uploads that were (or would be) aborted.
        """
        with self._context.operation("purge_uploads", ""):
            self._context.require("list_uploads")
            return await purge_uploads(self._context, older_than=older_than, dry_run=dry_run)
