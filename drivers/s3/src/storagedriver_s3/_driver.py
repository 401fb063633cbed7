"""The driver: the contract's calls, each in the module of its kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from storagedriver_core import (
    Buffer,
    ByteStream,
    Capabilities,
    CompleteOptions,
    Conditions,
    ConflictError,
    DeleteReport,
    FileInfo,
    ListOptions,
    Part,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    SignedMethod,
    StorageDriver,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
)
from storagedriver_s3 import (
    _copying,
    _deleting,
    _identity,
    _listing,
    _reading,
    _signing,
    _uploads,
)
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._client import Connection
from storagedriver_s3._config import S3Config
from storagedriver_s3._errors import translating
from storagedriver_s3._info import MARK, date_of

_MIB = 1024 * 1024
_GIB = 1024 * _MIB

# Source: Amazon S3 User Guide, "Amazon S3 multipart upload limits".
MAX_PART_SIZE = 5 * _GIB
MAX_PARTS = 10_000
MAX_OBJECT_SIZE = 5 * 1024 * _GIB
MAX_SINGLE_COPY = 5 * _GIB

# The store takes more. But one request cannot go on where it broke.
MAX_PUT_SIZE = 64 * _MIB

# Source: Amazon S3 User Guide, "User-defined object metadata"; less the mark of uploads.
MAX_METADATA_BYTES = 2048 - len(MARK) - 16

# What an object has if a request says nothing.
DEFAULT_PROTECTION = {("ACL", "private"), ("StorageClass", "STANDARD")}


class S3Driver(StorageDriver):
    """A bucket of a store that speaks S3.

    Args:
        config: Which bucket, as whom, and how.
    """

    name: ClassVar[str] = "s3"

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._bucket = Bucket(config)
        self._public: Connection | None = None
        self._capabilities = _capabilities(config, self._bucket)

    def __repr__(self) -> str:
        return f"<S3Driver bucket={self._config.bucket!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        # An unopened copy: connections belong to this process.
        return (S3Driver, (self._config,))

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def open(self) -> None:
        await self._bucket.open()

    async def aclose(self) -> None:
        public, self._public = self._public, None
        try:
            await self._bucket.aclose()
        finally:
            if public is not None:
                await public.aclose()

    async def check(self) -> None:
        await self._bucket.list_one(self._bucket.keys.root)

    async def now(self) -> datetime:
        return date_of(await self._bucket.list_one(self._bucket.keys.root))

    async def identity(self) -> Mapping[str, str]:
        return await _identity.identity(self._bucket)

    # Objects -----------------------------------------------------------------------------------

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        if path != "/":
            try:
                return await self._bucket.head(path, conditions)
            except PathNotFoundError:
                if not await self._bucket.has_directory(path):
                    raise
        else:
            await self.check()
        info = FileInfo(path, is_dir=True)
        if conditions is not None and not conditions.hold_for(info):
            raise ConflictError("the conditions do not hold")
        return info

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return await _reading.open_reader(self._bucket, path, options)

    async def get_content(self, path: str) -> bytes:
        return await _reading.get_content(self._bucket, path)

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return await _uploads.put_object(self._bucket, path, data, options)

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return _listing.list_directory(self._bucket, path, options)

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return _listing.walk_directory(self._bucket, path, options)

    async def delete(self, path: str) -> None:
        await _deleting.delete(self._bucket, path)

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        return await _deleting.delete_many(self._bucket, paths)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await _copying.move(self._bucket, source, target, if_absent=if_absent)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await _copying.copy(self._bucket, source, target, if_absent=if_absent)

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        return await _signing.redirect_url(
            self._bucket,
            await self._signer(),
            path,
            method=method,
            expires=expires,
            content_type=content_type,
        )

    async def stored_name(self, path: str) -> str:
        return self._bucket.keys.key(path)

    async def _signer(self) -> Connection:
        """Give the connection whose endpoint URLs are signed for."""
        if self._config.public_url is None:
            return self._bucket.connection
        if self._public is None:
            with translating(changes=False):
                made = await Connection.open(self._config, self._config.public_url)
            if self._public is None:
                self._public = made
            else:
                await made.aclose()  # another call was faster
        return self._public

    # Uploads -----------------------------------------------------------------------------------

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await _uploads.open_upload(self._bucket, path, holder, options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await _uploads.put_part(self._bucket, upload, number, offset, data)

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        return await _uploads.copy_part(
            self._bucket, upload, number, offset, source, source_offset, size
        )

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await _uploads.upload_state(self._bucket, upload, size)

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        return await _uploads.complete_upload(self._bucket, upload, parts, options)

    async def abort_upload(self, upload: Upload) -> None:
        await _uploads.abort_upload(self._bucket, upload)

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        return _uploads.list_uploads(self._bucket)


def _capabilities(config: S3Config, bucket: Bucket) -> Capabilities:
    traits = config.traits
    most = bucket.keys.max_path_bytes
    single_copy = config.multipart_copy_threshold or MAX_SINGLE_COPY
    signs = not config.anonymous
    # What an object is protected by is said in headers. Who puts to a URL would have to send them,
    # and nothing tells him; a URL that takes unprotected bytes is none that we may give away.
    signs_put = signs and not set(bucket.protection.items()) - DEFAULT_PROTECTION
    return Capabilities(
        get_range=True,
        get_with_conditions=True,
        put_if_absent=traits.put_if_absent,
        put_if_match=traits.put_if_match,
        put_with_metadata=True,
        copy=True,
        copy_if_absent=traits.copy_if_absent,
        move_if_absent=traits.copy_if_absent,
        copy_part=True,
        upload=True,
        upload_out_of_order=True,
        list_uploads=traits.list_uploads,
        walk_with_start_after=traits.ordered,
        sign_get=signs,
        sign_head=signs,
        sign_put=signs_put,
        sign_put_with_content_type=signs_put,
        move="server_copy",
        atomic_commit=True,
        list_after_write=True,
        durable_on_commit=True,
        durable_parts=True,
        ordered_walk=traits.ordered,
        fresh_reads=True,
        shared_between_processes=True,
        bounded_memory=True,
        abort_frees=True,
        independent_uploads=True,
        path_alphabet="any" if traits.any_character else "unicode",
        file_and_directory_share_name=traits.shares_names,
        max_path_bytes=most,
        max_component_bytes=traits.max_component_bytes or most - 1,
        min_part_size=config.min_part_size,
        max_part_size=MAX_PART_SIZE,
        max_parts=MAX_PARTS,
        equal_parts=traits.equal_parts,
        max_object_size=MAX_OBJECT_SIZE,
        max_put_size=MAX_PUT_SIZE,
        max_single_copy=min(single_copy, MAX_SINGLE_COPY),
        max_metadata_bytes=MAX_METADATA_BYTES,
    )
