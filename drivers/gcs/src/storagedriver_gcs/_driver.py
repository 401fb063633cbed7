"""The driver: the contract's calls, each given to the module that knows how."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import ClassVar

from storagedriver_core import (
    INTERNAL_COMPONENT,
    AlreadyExistsError,
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
    StorageDriverError,
    UnavailableError,
    UnsupportedMethodError,
    Upload,
    UploadOptions,
    UploadState,
)
from storagedriver_gcs import _objects
from storagedriver_gcs._client import Client
from storagedriver_gcs._config import CHUNK_UNIT, GcsConfig
from storagedriver_gcs._deleting import Outcomes, delete_each, delete_pages, partial
from storagedriver_gcs._listing import has_below, list_pages, names_below
from storagedriver_gcs._names import Names
from storagedriver_gcs._reading import open_stream, read_whole
from storagedriver_gcs._resources import UPLOAD_KEY, file_info, preconditions
from storagedriver_gcs._signing import Signer
from storagedriver_gcs._uploads import Uploads

_TIB = 1 << 40
# Source: storage/quotas, "Objects": 5 TiB; custom metadata 8 KiB, less the driver's own key.
_MAX_OBJECT_BYTES = 5 * _TIB
_MAX_METADATA_BYTES = 8192 - len(UPLOAD_KEY) - 32


class GcsDriver(StorageDriver):
    """Objects of one bucket of Google Cloud Storage, by its JSON API.

    Not declared: `list_uploads` (the service lists no sessions; they expire in a week),
    `upload_out_of_order` and `copy_part` (a session is one run of bytes), `pinned_reads` (the
    service promises nothing for the rest of a download once the object is replaced), `local_path`.

    Args:
        config: Which bucket, as whom, and how.
    """

    name: ClassVar[str] = "gcs"

    def __init__(self, config: GcsConfig) -> None:
        self._config = config
        self._names = Names(config.prefix)
        signs = not config.is_anonymous
        self._capabilities = Capabilities(
            get_range=True,
            get_with_conditions=True,
            put_if_absent=True,
            put_if_match=True,
            put_with_metadata=True,
            copy=True,
            copy_if_absent=True,
            move_if_absent=True,
            upload=True,
            walk_with_start_after=True,
            checksum_algorithms=("md5",),
            sign_get=signs,
            sign_head=signs,
            sign_put=signs,
            sign_put_with_content_type=signs,
            late_target=True,
            move="server_copy",
            atomic_commit=True,
            list_after_write=True,
            durable_on_commit=True,
            durable_parts=True,
            ordered_walk=True,
            fresh_reads=True,
            shared_between_processes=True,
            bounded_memory=True,
            abort_frees=True,
            independent_uploads=True,
            path_alphabet="unicode",
            file_and_directory_share_name=True,
            max_path_bytes=self._names.max_path_bytes,
            max_component_bytes=self._names.max_path_bytes,
            min_part_size=config.chunksize,
            part_alignment=CHUNK_UNIT,
            max_object_size=_MAX_OBJECT_BYTES,
            max_metadata_bytes=_MAX_METADATA_BYTES,
        )
        self._client = Client(config)
        self._uploads = Uploads(self._client, self._names)
        self._signer: Signer | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (GcsDriver, (self._config,))

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    # Life --------------------------------------------------------------------------------------

    async def open(self) -> None:
        await self._client.open()
        self._signer = Signer(self._config, self._client.credentials)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def check(self) -> None:
        await self._client.probe()

    async def now(self) -> datetime:
        date = (await self._client.probe()).headers.get("Date")
        if date is None:
            raise UnavailableError("the service does not tell the time")
        return parsedate_to_datetime(date).astimezone(UTC)

    async def identity(self) -> Mapping[str, str]:
        config, found = self._config, self._client.credentials
        sources = {
            "anon": "anonymous",
            "cloud": "metadata server",
            "google_default": "application default",
        }
        source = sources[config.identity]
        if config.has_key:
            source = "keyfile" if config.keyfile is not None else "credentials"
        try:
            await found.header()  # which finds them
        except StorageDriverError as error:
            source = f"none: {error.message}"
        facts = {
            "credentials": source,
            "principal": getattr(found.raw, "service_account_email", None),
            "project": found.project,
            "endpoint": config.url,
            "bucket": config.bucket,
        }
        return {name: fact for name, fact in facts.items() if fact}

    # Objects -----------------------------------------------------------------------------------

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        if path == "/":
            await self._client.probe()
            info = FileInfo(path, is_dir=True)
        else:
            info = await self._stat(path, conditions)
        if conditions is not None and not conditions.hold_for(info):
            raise ConflictError("the conditions do not hold")
        return info

    async def _stat(self, path: str, conditions: Conditions | None) -> FileInfo:
        query = preconditions(conditions)
        try:
            resource = await _objects.get_resource(
                self._client, self._names.name(path), query, is_followed=True
            )
        except PathNotFoundError:
            if not await has_below(self._client, self._names, path):
                raise
            return FileInfo(path, is_dir=True)
        return file_info(path, resource)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return await open_stream(self._client, path, self._names.name(path), options)

    async def get_content(self, path: str) -> bytes:
        return await read_whole(self._client, self._names.name(path))

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        resource = await _objects.put(self._client, self._names.name(path), data, options)
        return file_info(path, resource)

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return list_pages(self._client, self._names, path, options, recursive=False)

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return list_pages(self._client, self._names, path, options, recursive=True)

    # Deleting ----------------------------------------------------------------------------------

    async def delete(self, path: str) -> None:
        was_file = path != "/" and await self._delete_file(path)
        internal = self._names.below(f"/{INTERNAL_COMPONENT}") if path == "/" else ""
        pages = names_below(self._client, self._names.below(path), but=internal)
        try:
            count, failures = await delete_pages(self._client, pages)
        except StorageDriverError as error:
            # Some of it may be gone.
            error.outcome = "unknown"
            raise
        if failures:
            by_path = {self._names.path(name): error for name, error in failures.items()}
            raise partial(
                {path: by_path[path].stamp(self.name, "delete", path) for path in by_path}
            )
        if not was_file and not count and path != "/":
            raise PathNotFoundError

    async def _delete_file(self, path: str) -> bool:
        try:
            await _objects.delete(self._client, self._names.name(path), is_followed=True)
        except PathNotFoundError:
            return False
        return True

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        by_name = {self._names.name(path): path for path in paths}
        outcomes: Outcomes = {}
        await delete_each(self._client, by_name, outcomes)
        deleted: list[str] = []
        missing: list[str] = []
        failed: dict[str, StorageDriverError] = {}
        for name, path in by_name.items():
            error = outcomes[name]
            if error is None:
                deleted.append(path)
            elif isinstance(error, PathNotFoundError):
                missing.append(path)
            else:
                failed[path] = error.stamp(self.name, "delete_many", path)
        return DeleteReport(tuple(deleted), tuple(missing), failed)

    # Moving ------------------------------------------------------------------------------------

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._rewrite(source, target, if_absent)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        moved = await self._rewrite(source, target, if_absent)
        try:
            # Only what was copied: a source that was replaced meanwhile is not to be lost.
            await _objects.delete(self._client, moved["name"], only=moved["generation"])
        except PathNotFoundError:
            pass  # somebody else has deleted it
        except StorageDriverError as error:
            error.outcome = "unknown" if error.outcome == "unknown" else "applied"
            raise

    async def _rewrite(self, source: str, target: str, if_absent: bool) -> _objects.Resource:
        """Copy a file; give what was copied."""
        # Both are awaited: no request goes on after the error of the other was raised.
        found, refused = await asyncio.gather(
            self._source(source), self._refuse_directory(target), return_exceptions=True
        )
        if isinstance(found, BaseException):
            raise found
        if refused is not None:
            raise refused
        try:
            await _objects.rewrite(
                self._client, found, self._names.name(target), if_absent=if_absent
            )
        except PathNotFoundError as exc:
            raise PathNotFoundError(path=source) from exc
        except ConflictError as exc:
            if if_absent and await self._exists(target):
                raise AlreadyExistsError(path=target) from exc
            raise
        return found

    async def _source(self, path: str) -> _objects.Resource:
        try:
            return await _objects.get_resource(
                self._client, self._names.name(path), fields="name,generation"
            )
        except PathNotFoundError as exc:
            raise PathNotFoundError(path=path) from exc

    async def _refuse_directory(self, path: str) -> None:
        # A file may share its name with a directory, but no move replaces a directory.
        if await has_below(self._client, self._names, path) and not await self._exists(path):
            raise ConflictError("the target is a directory", path=path)

    async def _exists(self, path: str) -> bool:
        name = self._names.name(path)
        return await _objects.find_resource(self._client, name, "generation") is not None

    # Others ------------------------------------------------------------------------------------

    async def checksum(self, path: str, algorithm: str) -> str:
        resource = await _objects.get_resource(
            self._client, self._names.name(path), fields="md5Hash"
        )
        if "md5Hash" not in resource:
            raise UnsupportedMethodError("the service has no MD5 of composed objects")
        return base64.b64decode(resource["md5Hash"]).hex()

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        assert self._signer is not None, "the driver is open"
        return await self._signer.url(self._names.name(path), method, expires, content_type)

    async def stored_name(self, path: str) -> str:
        return self._names.name(path)

    # Uploads -----------------------------------------------------------------------------------

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await self._uploads.open(path, holder, options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await self._uploads.put_part(upload, number, offset, data)

    def release_upload(self, upload: Upload) -> None:
        self._uploads.release(upload)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await self._uploads.state(upload, size)

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        return await self._uploads.complete(upload, parts, options)

    async def abort_upload(self, upload: Upload) -> None:
        await self._uploads.abort(upload)
