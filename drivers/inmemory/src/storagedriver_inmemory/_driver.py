"""The driver: a thin translation of the contract to the store's steps."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import ClassVar

from storagedriver_core import (
    Buffer,
    BytesStream,
    ByteStream,
    Capabilities,
    CompleteOptions,
    Conditions,
    ConfigurationError,
    ConflictError,
    FileInfo,
    ListOptions,
    Part,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    StorageDriver,
    Upload,
    UploadInfo,
    UploadNotFoundError,
    UploadOptions,
    UploadState,
)
from storagedriver_inmemory._config import InMemoryConfig
from storagedriver_inmemory._store import Object, Store, file_info

_CAPABILITIES = Capabilities(
    get_range=True,
    get_with_conditions=True,
    put_if_absent=True,
    put_if_match=True,
    put_with_metadata=True,
    copy=True,
    copy_if_absent=True,
    move_if_absent=True,
    copy_part=True,
    upload=True,
    upload_out_of_order=True,
    list_uploads=True,
    walk_with_start_after=True,
    checksum_algorithms=("md5", "sha256", "sha512"),
    late_target=True,
    move="atomic",
    atomic_commit=True,
    list_after_write=True,
    durable_parts=True,
    ordered_walk=True,
    fresh_reads=True,
    pinned_reads=True,
    abort_frees=True,
    independent_uploads=True,
    any_event_loop=True,
    path_alphabet="any",
    file_and_directory_share_name=True,
    max_path_bytes=4096,
    max_component_bytes=4096,
    max_metadata_bytes=8192,
)


class InMemoryDriver(StorageDriver):
    """Keeps objects in a `Store`, which ends with the process.

    Not declared: `shared_between_processes`, `bounded_memory` and `durable_on_commit`, which
    memory cannot promise; `local_path` and signed URLs.

    Args:
        config: No parameters.
        store: Shared with other drivers of this process; a new one if not given.
    """

    name: ClassVar[str] = "inmemory"

    def __init__(self, config: InMemoryConfig | None = None, *, store: Store | None = None) -> None:
        self._store = store if store is not None else Store()

    def __reduce__(self) -> str:
        raise TypeError("an in-memory store cannot be taken to another process")

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    async def open(self) -> None:
        self._require_store()

    async def check(self) -> None:
        self._require_store()

    async def now(self) -> datetime:
        return self._store.now()

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        self._require_store()
        info = self._store.stat(path)
        if conditions is not None and not conditions.hold_for(info):
            raise ConflictError("the conditions do not hold")
        return info

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        self._require_store()
        found = self._store.get(path)
        info = file_info(path, found, whole=True)
        if options.conditions is not None and not options.conditions.hold_for(info):
            raise ConflictError("the conditions do not hold")
        return BytesStream(info, found.data, options)

    async def get_content(self, path: str) -> bytes:
        self._require_store()
        return self._store.get(path).data

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        self._require_store()
        return self._store.put(
            path,
            bytes(data),
            content_type=options.content_type,
            metadata=options.metadata,
            if_absent=options.if_absent,
            if_match=options.if_match,
        )

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        self._require_directory(path)
        after = options.start_after
        while page := self._store.children(path, after, options.page_size):
            yield page
            last = page[-1]
            after = f"{last.path}/" if last.is_dir else last.path

    async def walk(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        self._require_directory(path)
        after = options.start_after
        while page := self._store.below(path, after, options.page_size):
            yield page
            after = page[-1].path

    async def delete(self, path: str) -> None:
        self._require_store()
        self._store.delete(path)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        self._require_store()
        self._refuse_directory(target)
        self._store.move(source, target, if_absent=if_absent)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        self._require_store()
        self._refuse_directory(target)
        self._store.copy(source, target, if_absent=if_absent)

    async def checksum(self, path: str, algorithm: str) -> str:
        self._require_store()
        data = self._store.get(path).data
        return (await asyncio.to_thread(hashlib.new, algorithm, data)).hexdigest()

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        self._require_store()
        upload_id = self._store.open_upload(path, holder, options)
        return Upload(path, upload_id, holder=holder, options=options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        pending = self._store.upload(upload.upload_id, upload.holder)
        end = offset
        for chunk in data:
            if end > len(pending.data):
                pending.data.extend(bytes(end - len(pending.data)))
            pending.data[end : end + len(chunk)] = chunk
            end += len(chunk)
        pending.updated_at = self._store.now()
        return Part(number, offset, end - offset)

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        data = self._store.get(source).data[source_offset : source_offset + size]
        return await self.put_part(upload, number, offset, [data])

    def release_upload(self, upload: Upload) -> None:
        self._store.release_upload(upload.upload_id, upload.holder)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        self._require_store()
        try:
            pending = self._store.upload(upload.upload_id)
        except UploadNotFoundError:
            found = self._published(upload, upload.path)
            completed = file_info(upload.path, found, whole=True)
            return UploadState(completed.size, completed)
        if len(pending.data) < size:
            raise UploadNotFoundError(f"the upload holds {len(pending.data)} bytes, not {size}")
        pending.cuts.require(upload.data, size)
        pending.holder = upload.holder
        if len(pending.data) > size:
            pending.cuts = pending.cuts.at(size)
            del pending.data[size:]
        return UploadState(size, data=pending.cuts.data())

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        try:
            return self._store.complete_upload(
                upload.upload_id,
                upload.holder,
                options.path,
                options.size,
                if_absent=options.if_absent,
            )
        except UploadNotFoundError:
            found = self._published(upload, options.path)
            if found.holder != upload.holder:
                raise ConflictError("another writer has committed the upload") from None
            return file_info(options.path, found, whole=True)

    async def abort_upload(self, upload: Upload) -> None:
        self._store.abort_upload(upload.upload_id, upload.holder)

    async def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        self._require_store()
        yield [
            UploadInfo(
                Upload(pending.path, upload_id, options=pending.options),
                started_at=pending.started_at,
                updated_at=pending.updated_at,
                size=len(pending.data),
                active=bool(pending.holder),
            )
            for upload_id, pending in self._store.uploads()
        ]

    def _published(self, upload: Upload, path: str) -> Object:
        """Give the object at `path` if this very upload made it."""
        try:
            found = self._store.get(path)
        except PathNotFoundError:
            found = None
        if found is None or found.upload_id != upload.upload_id:
            raise UploadNotFoundError(outcome="unknown")
        return found

    def _require_store(self) -> None:
        if not self._store.exists:
            raise ConfigurationError("the store does not exist")

    def _require_directory(self, path: str) -> None:
        self._require_store()
        if path != "/" and not self._store.has_directory(path):
            raise PathNotFoundError

    def _refuse_directory(self, target: str) -> None:
        # As everywhere: a file may share its name with a directory, but no move replaces one.
        if self._store.has_directory(target) and not self._is_file(target):
            raise ConflictError("the target is a directory", path=target)

    def _is_file(self, path: str) -> bool:
        return not self._store.stat(path).is_dir
