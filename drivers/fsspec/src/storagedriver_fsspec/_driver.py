"""The driver: one for blocking filesystems, run in threads, and one for asynchronous ones."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from storagedriver_core import (
    BlockingDriver,
    BlockingReader,
    BlockingStorageDriver,
    Buffer,
    ByteStream,
    Capabilities,
    CompleteOptions,
    Conditions,
    DeleteReport,
    FileInfo,
    ListOptions,
    Part,
    PutOptions,
    ReadOptions,
    StorageDriver,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
)
from storagedriver_fsspec._chunks import ChunkUploads
from storagedriver_fsspec._config import FsspecConfig
from storagedriver_fsspec._files import Body, Files, GrowingFiles, finished
from storagedriver_fsspec._filesystem import filesystem_class, make_filesystem
from storagedriver_fsspec._protocols import Protocol, protocol_of
from storagedriver_fsspec._staged import StagedUploads
from storagedriver_fsspec._store import Store

_AT_ONCE = 16


def fsspec_driver(config: FsspecConfig) -> StorageDriver:
    """Give an unopened driver for a filesystem.

    Raises:
        ConfigurationError: fsspec does not know the protocol, or what it needs is not installed.
    """
    cls = filesystem_class(config.protocol)
    row = protocol_of(config.protocol, is_async=cls.async_impl)
    objects = Objects(config, row, cls)
    if cls.async_impl:
        return AsyncFsspecDriver(objects)
    return BlockingFsspecDriver(objects)


class Objects:
    """What both drivers share: the filesystem, the objects and the uploads.

    Args:
        config: The configuration.
        row: What the protocol promises.
        cls: The filesystem's class.
    """

    def __init__(self, config: FsspecConfig, row: Protocol, cls: Any) -> None:
        self.config = config
        self.row = row
        self.capabilities = row.capabilities
        options = {**row.defaults, **config.revealed()}
        module, _, name = row.files.partition(":")
        adapter = getattr(importlib.import_module(module), name)

        def make() -> Any:
            return make_filesystem(cls, adapter.completed(options))

        self.files: Files = adapter(make, config.root_directory)
        self.store = Store(
            self.files,
            flat=row.flat,
            stages=row.stages,
            shares_names=self.capabilities.file_and_directory_share_name,
        )
        self.uploads: StagedUploads | ChunkUploads
        if row.uploads == "file" and isinstance(self.files, GrowingFiles):
            self.uploads = StagedUploads(self.store, self.files)
        else:
            self.uploads = ChunkUploads(self.store, self.files, renames=row.stages)

    def __repr__(self) -> str:
        return f"<fsspec {self.config.protocol!r}>"

    async def open(self) -> None:
        """Connect and look at the root directory."""
        try:
            await self.files.open(create=self.config.create)
            await self.store.check()
        except BaseException:
            await self.files.close()
            raise

    async def close(self) -> None:
        """Clean up and disconnect. Idempotent."""
        try:
            await self.store.sweep()
            if isinstance(self.uploads, ChunkUploads):
                await self.uploads.sweep()
        finally:
            await self.files.close()

    async def complete(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        """As `StorageDriver.complete_upload`."""
        if isinstance(self.uploads, StagedUploads):
            return await self.uploads.complete(upload, options)
        return await self.uploads.complete(upload, parts, options)


class BlockingFsspecDriver(BlockingStorageDriver):
    """A blocking filesystem."""

    def __init__(self, objects: Objects) -> None:
        threads = min(objects.config.max_threads, objects.row.threads)
        super().__init__(_Blocking(objects), threads=threads)
        self._objects = objects

    def __reduce__(self) -> tuple[object, ...]:
        return (fsspec_driver, (self._objects.config,))

    async def open(self) -> None:
        try:
            await super().open()
        except BaseException:
            # Nobody closes what did not open, and a thread has tried.
            await self.aclose()
            raise


class AsyncFsspecDriver(StorageDriver):
    """An asynchronous filesystem, on the event loop."""

    name: ClassVar[str] = "fsspec"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def __repr__(self) -> str:
        return repr(self._objects)

    def __reduce__(self) -> tuple[object, ...]:
        return (fsspec_driver, (self._objects.config,))

    @property
    def capabilities(self) -> Capabilities:
        return self._objects.capabilities

    async def open(self) -> None:
        await self._objects.open()

    async def aclose(self) -> None:
        await self._objects.close()

    async def check(self) -> None:
        await self._objects.store.check()

    async def now(self) -> datetime:
        return await self._objects.store.now()

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        return await self._objects.store.stat(path, conditions)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        return _Stream(await self._objects.store.body(path, options))

    async def get_content(self, path: str) -> bytes:
        return await self._objects.store.read(path)

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return await self._objects.store.put(path, data, options)

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        listing = await self._objects.store.list(path, options)
        for page in listing.pages():
            yield page

    async def delete(self, path: str) -> None:
        await self._objects.store.delete(path)

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def delete(path: str) -> DeleteReport:
            async with slots:
                return await StorageDriver.delete_many(self, [path])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(delete(path)) for path in paths]
        reports = [task.result() for task in tasks]
        return DeleteReport(
            tuple(path for report in reports for path in report.deleted),
            tuple(path for report in reports for path in report.missing),
            {path: error for report in reports for path, error in report.failed.items()},
        )

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._objects.store.move(source, target, replace=not if_absent)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._objects.store.copy(source, target)

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await self._objects.uploads.open(path, holder, options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await self._objects.uploads.write(upload, number, offset, data)

    def release_upload(self, upload: Upload) -> None:
        # On the event loop, where it must not wait: what is left of an upload is removed later.
        if isinstance(self._objects.uploads, ChunkUploads):
            self._objects.uploads.forget(upload)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await self._objects.uploads.resume(upload, size)

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        return await self._objects.complete(upload, parts, options)

    async def abort_upload(self, upload: Upload) -> None:
        await self._objects.uploads.abort(upload)

    async def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        for page in _pages(await self._objects.uploads.all()):
            yield page


class _Stream(ByteStream):
    def __init__(self, body: Body) -> None:
        self.info = body.info
        self._body = body

    async def next_chunk(self) -> bytes:
        return await self._body.read(self.chunk_size)

    async def aclose(self) -> None:
        await self._body.close()


class _Blocking(BlockingDriver):
    """The plain methods: each runs a coroutine that never waits."""

    name: ClassVar[str] = "fsspec"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def __repr__(self) -> str:
        return repr(self._objects)

    @property
    def capabilities(self) -> Capabilities:
        return self._objects.capabilities

    def open(self) -> None:
        finished(self._objects.open())

    def close(self) -> None:
        finished(self._objects.close())

    def check(self) -> None:
        finished(self._objects.store.check())

    def now(self) -> datetime:
        return finished(self._objects.store.now())

    def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        return finished(self._objects.store.stat(path, conditions))

    def open_reader(self, path: str, options: ReadOptions) -> BlockingReader:
        return _Reader(finished(self._objects.store.body(path, options)))

    def get_content(self, path: str) -> bytes:
        return finished(self._objects.store.read(path))

    def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return finished(self._objects.store.put(path, data, options))

    def list(self, path: str, options: ListOptions) -> Iterable[Sequence[FileInfo]]:
        yield from finished(self._objects.store.list(path, options)).pages()

    def delete(self, path: str) -> None:
        finished(self._objects.store.delete(path))

    def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        return finished(self._objects.store.delete_many(paths, self.name))

    def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        finished(self._objects.store.move(source, target, replace=not if_absent))

    def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        finished(self._objects.store.copy(source, target))

    def local_path(self, path: str) -> str:
        return finished(self._objects.files.local_path(path))

    def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return finished(self._objects.uploads.open(path, holder, options))

    def put_part(self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]) -> Part:
        return finished(self._objects.uploads.write(upload, number, offset, data))

    def sync_upload(self, upload: Upload) -> None:
        finished(self._objects.uploads.sync(upload))

    def release_upload(self, upload: Upload) -> None:
        finished(self._objects.uploads.release(upload))

    def upload_state(self, upload: Upload, size: int) -> UploadState:
        return finished(self._objects.uploads.resume(upload, size))

    def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        return finished(self._objects.complete(upload, parts, options))

    def abort_upload(self, upload: Upload) -> None:
        finished(self._objects.uploads.abort(upload))

    def list_uploads(self) -> Iterable[Sequence[UploadInfo]]:
        yield from _pages(finished(self._objects.uploads.all()))


class _Reader(BlockingReader):
    def __init__(self, body: Body) -> None:
        self.info = body.info
        self._body = body

    def read(self, size: int) -> bytes:
        return finished(self._body.read(size))

    def close(self) -> None:
        finished(self._body.close())


def _pages(found: Sequence[UploadInfo], size: int = 1000) -> Iterable[Sequence[UploadInfo]]:
    return (found[start : start + size] for start in range(0, len(found), size))
