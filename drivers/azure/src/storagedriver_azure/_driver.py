"""The driver: a thin translation of the contract to the service's requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import ClassVar

from storagedriver_azure._config import AzureConfig
from storagedriver_azure._connection import Connection
from storagedriver_azure._copying import copy_blob, delete_version, version_of, whole_version_of
from storagedriver_azure._deleting import delete_blob, delete_blobs
from storagedriver_azure._identity import identity
from storagedriver_azure._listing import (
    Page,
    children,
    files,
    has_blobs,
    is_behind,
    pages,
    start_name,
)
from storagedriver_azure._names import MAX_NAME_CHARACTERS, Names
from storagedriver_azure._objects import file_info, parse_time, property_headers, quoted
from storagedriver_azure._order import in_byte_order
from storagedriver_azure._reading import blob_info, open_blob
from storagedriver_azure._signing import Signer
from storagedriver_azure._uploads import Uploads
from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    ByteStream,
    Capabilities,
    ClosedError,
    CompleteOptions,
    Conditions,
    ConflictError,
    DeleteReport,
    FileInfo,
    ListOptions,
    Part,
    PartialDeleteError,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    SignedMethod,
    StorageDriver,
    StorageDriverError,
    UnavailableError,
    Upload,
    UploadOptions,
    UploadState,
    is_internal,
)

MIB = 1024 * 1024

# Source: "Scalability and performance targets for Blob Storage".
MAX_BLOCKS = 50_000
MAX_BLOCK_SIZE = 4000 * MIB
MAX_PUT_SIZE = 5000 * MIB


def _capabilities(root: str, *, signs: bool) -> Capabilities:
    return Capabilities(
        get_range=True,
        get_with_conditions=True,
        put_if_absent=True,
        put_if_match=True,
        put_with_metadata=True,
        copy=True,
        copy_if_absent=True,
        move_if_absent=True,
        upload=True,
        upload_out_of_order=True,
        walk_with_start_after=True,
        sign_get=signs,
        sign_head=signs,
        sign_put=signs,
        move="server_copy",
        atomic_commit=True,
        list_after_write=True,
        durable_on_commit=True,
        durable_parts=True,
        ordered_walk=True,
        fresh_reads=True,
        shared_between_processes=True,
        bounded_memory=True,
        path_alphabet="unicode",
        file_and_directory_share_name=True,
        # A byte is a character at least, and characters are what the service counts.
        max_path_bytes=MAX_NAME_CHARACTERS - len(root.encode()),
        max_component_bytes=MAX_NAME_CHARACTERS,
        # Any block may be as short as a byte, so that a suspended upload needs nothing beside it.
        min_part_size=1,
        max_part_size=MAX_BLOCK_SIZE,
        max_parts=MAX_BLOCKS,
        max_object_size=MAX_BLOCKS * MAX_BLOCK_SIZE,
        max_put_size=MAX_PUT_SIZE,
        # Of 8 KiB, names included, less what an upload's marker and the prefixes take.
        max_metadata_bytes=7 * 1024,
    )


class AzureDriver(StorageDriver):
    """Keeps objects as block blobs in one container.

    Not declared: `list_uploads` and `abort_frees` (the service lists no blocks of blobs that exist,
    and drops blocks by itself after seven days), `independent_uploads` (a commit drops the blocks
    of the others), `copy_part` (copies have no limit), `sign_put_with_content_type` (a signature
    does not cover headers), `pinned_reads`, `checksum_algorithms` (the service computes MD5 of
    single puts alone).

    Args:
        config: The account, the container, and how to reach them.
    """

    name: ClassVar[str] = "azure"

    def __init__(self, config: AzureConfig) -> None:
        self._config = config
        self._names = Names(config.root_directory)
        self._capabilities = _capabilities(self._names.root, signs=config.can_sign)
        self._opened: Connection | None = None
        self._uploads: Uploads | None = None
        self._signer: Signer | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self._config,))

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def open(self) -> None:
        self._opened = connection = await Connection.open(self._config)
        self._uploads = Uploads(connection)
        self._signer = Signer(connection, self._config.public_endpoint)

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()

    async def now(self) -> datetime:
        answer = await self._connection.request("GET", None, query=_ONE_ENTRY)
        try:
            return parse_time(answer.headers["date"])
        except KeyError:
            raise UnavailableError("an answer without a time") from None

    async def identity(self) -> Mapping[str, str]:
        return await identity(self._connection)

    # Objects -----------------------------------------------------------------------------------

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        if path != "/":
            with suppress(PathNotFoundError):
                name = self._names.of_file(path)
                return await blob_info(self._connection, path, name, conditions)
        if not await has_blobs(self._connection, self._names.below(path)) and path != "/":
            raise PathNotFoundError
        info = FileInfo(path, is_dir=True)
        if conditions is not None and not conditions.hold_for(info):
            raise ConflictError("the conditions do not hold")
        return info

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return await open_blob(self._connection, path, self._names.of_file(path), options)

    async def get_content(self, path: str) -> bytes:
        answer = await self._connection.request("GET", self._names.of_file(path))
        info = file_info(path, answer.headers)
        if len(answer.body) != info.size:
            raise UnavailableError(f"{len(answer.body)} of {info.size} bytes came")
        return answer.body

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        headers = property_headers(options.content_type, options.metadata)
        headers["x-ms-blob-type"] = "BlockBlob"
        if options.if_absent:
            headers["If-None-Match"] = "*"
        if options.if_match is not None:
            headers["If-Match"] = quoted(options.if_match)
        name = self._names.of_file(path)
        answer = await self._connection.request(
            "PUT", name, headers=headers, data=data, expect=(201,), changes=True
        )
        return file_info(
            path,
            answer.headers,
            size=memoryview(data).nbytes,
            content_type=options.content_type,
            metadata=options.metadata,
        )

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return in_byte_order(self._list(path, options, children, delimiter=True))

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return in_byte_order(self._list(path, options, files, delimiter=False))

    async def _list(
        self,
        path: str,
        options: ListOptions,
        entries: Callable[[Names, Page, str, ListOptions], Sequence[FileInfo]],
        *,
        delimiter: bool,
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        prefix = self._names.below(path)
        if is_behind(path, options):
            if not await has_blobs(self._connection, prefix) and path != "/":
                raise PathNotFoundError
            return
        start = start_name(self._names, path, options, one_level=delimiter)
        is_empty = True
        listing = pages(
            self._connection,
            prefix,
            page_size=options.page_size,
            delimiter=delimiter,
            start=start,
        )
        async with aclosing(listing):
            async for page in listing:
                is_empty = is_empty and not page.blobs and not page.prefixes
                yield entries(self._names, page, prefix, options)
        # What starts late may find nothing in a directory that is there.
        if is_empty and path != "/" and not (start and await has_blobs(self._connection, prefix)):
            raise PathNotFoundError

    async def delete(self, path: str) -> None:
        found = False
        failures: dict[str, StorageDriverError] = {}
        try:
            if path != "/":
                with suppress(PathNotFoundError):
                    await delete_blob(self._connection, self._names.of_file(path))
                    found = True
            prefix = self._names.below(path)
            async with aclosing(pages(self._connection, prefix, page_size=1000)) as listing:
                async for page in listing:
                    names = [name for name, *_ in page.blobs]
                    if path == "/":
                        names = [name for name in names if not is_internal(self._shown(name))]
                    found = found or bool(names)
                    result = await delete_blobs(self._connection, {name: name for name in names})
                    for name, error in result.failed.items():
                        shown = self._shown(name)
                        failures[shown] = error.stamp(self.name, "delete", shown)
        except StorageDriverError as error:
            if found:
                error.outcome = "unknown"  # some are gone, others may be left
            raise
        if failures:
            partial = PartialDeleteError(failures=failures)
            partial.outcome = "unknown"  # the others are gone, and these perhaps
            raise partial
        if not found and path != "/":
            raise PathNotFoundError

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        named = {path: self._names.of_file(path) for path in paths}
        result = await delete_blobs(self._connection, named)
        for path, error in result.failed.items():
            error.stamp(self.name, "delete_many", path)
        return DeleteReport(tuple(result.gone), tuple(result.missing), result.failed)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        etag = await self._copy(source, target, if_absent=if_absent)
        try:
            await delete_version(self._connection, self._names.of_file(source), etag)
        except StorageDriverError as error:
            error.outcome = "unknown"  # the copy is there, the source may be
            raise

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._copy(source, target, if_absent=if_absent)

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        _ = self._connection
        assert self._signer is not None
        return await self._signer.url(self._names.of_file(path), method, expires)

    async def stored_name(self, path: str) -> str:
        return self._names.of_file(path)

    # Uploads -----------------------------------------------------------------------------------

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await self._blocks.open(self._names.of_file(path), path, holder, options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        name = self._names.of_file(upload.path)
        return await self._blocks.put_part(name, upload, number, offset, data)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await self._blocks.state(self._names.of_file(upload.path), upload, size)

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        name = self._names.of_file(upload.path)
        return await self._blocks.complete(name, upload, parts, options)

    async def abort_upload(self, upload: Upload) -> None:
        await self._blocks.abort(self._names.of_file(upload.path), upload)

    # Parts of the above ------------------------------------------------------------------------

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            raise ClosedError("the driver is not open")
        return self._opened

    @property
    def _blocks(self) -> Uploads:
        if self._uploads is None:
            raise ClosedError("the driver is not open")
        return self._uploads

    def _shown(self, name: str) -> str:
        """Give the path of a blob, or its name where no path names it."""
        return self._names.path(name) or f"/{name}"

    async def _copy(self, source: str, target: str, *, if_absent: bool) -> str:
        """Copy a file; give the etag of the version that was copied."""
        connection, name = self._connection, self._names.of_file(source)
        copied = self._names.of_file(target)
        etag, refused = await asyncio.gather(
            whole_version_of(connection, name),
            self._refuse_directory(target),
            return_exceptions=True,
        )
        if isinstance(etag, StorageDriverError):
            raise etag.stamp(self.name, "", source)
        if isinstance(etag, BaseException):
            raise etag
        if refused is not None:
            raise refused
        try:
            await copy_blob(
                connection,
                name,
                etag,
                copied,
                if_absent=if_absent,
                poll_delay=self._config.copy_poll_delay,
            )
        except AlreadyExistsError as error:
            error.stamp(self.name, "", target)
            raise
        return etag

    async def _refuse_directory(self, target: str) -> None:
        """Refuse a target that is a directory and no file: no move or copy replaces one."""
        if not await has_blobs(self._connection, self._names.below(target)):
            return
        try:
            await version_of(self._connection, self._names.of_file(target))
        except PathNotFoundError:
            raise ConflictError("the target is a directory", path=target) from None


_ONE_ENTRY = "restype=container&comp=list&maxresults=1"
