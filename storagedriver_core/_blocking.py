"""A `BlockingDriver`, run in threads, as the driver that `Storage` takes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from storagedriver_core._blocking_driver import BlockingDriver, BlockingReader
from storagedriver_core._capabilities import Capabilities
from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._threads import Held, Threads
from storagedriver_core._types import (
    Buffer,
    CompleteOptions,
    Conditions,
    DeleteReport,
    FileInfo,
    ListOptions,
    Part,
    PutOptions,
    ReadOptions,
    SignedMethod,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
)

T = TypeVar("T")


class BlockingStorageDriver(StorageDriver):
    """Runs the plain methods of a `BlockingDriver` in a pool of threads of its own.

    A call that is cancelled after it has begun is waited for, up to a second, because a thread
    cannot be stopped; a reader that it opens is closed, whenever that is.

    A driver of one name for both:

    ```python
    class ExampleDriver(BlockingStorageDriver):
        def __init__(self, parameters: ExampleParameters) -> None:
            super().__init__(ExampleStore(parameters))
    ```

    Args:
        blocking: The driver's plain methods.
        threads: Calls at once, at most. With 1 they never overlap.
    """

    def __init__(self, blocking: BlockingDriver, *, threads: int = 8) -> None:
        # A driver's name is its class's; only a wrapper takes it from an instance.
        self.name = blocking.name  # type: ignore[misc]
        self.wanted_digests = blocking.wanted_digests
        self._blocking = blocking
        self._threads = Threads(threads)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self._blocking!r}>"

    @property
    def capabilities(self) -> Capabilities:
        return self._blocking.capabilities

    async def open(self) -> None:
        await self._threads.run(self._blocking.open)

    async def aclose(self) -> None:
        try:
            await self._threads.run(self._blocking.close)
        finally:
            await self._threads.shutdown()

    async def check(self) -> None:
        await self._threads.run(self._blocking.check)

    async def identity(self) -> Mapping[str, str]:
        return await self._threads.run(self._blocking.identity)

    async def now(self) -> datetime:
        return await self._threads.run(self._blocking.now)

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        return await self._threads.run(lambda: self._blocking.stat(path, conditions))

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        reader = await self._threads.run(
            lambda: self._blocking.open_reader(path, options), undo=lambda reader: reader.close()
        )
        return _ThreadedStream(self._threads, reader)

    async def get_content(self, path: str) -> bytes:
        return await self._threads.run(lambda: self._blocking.get_content(path))

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return await self._threads.run(lambda: self._blocking.put_content(path, data, options))

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self._pages(lambda: self._blocking.list(path, options))

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        if self._is_left_out("walk"):
            return super().walk(path, options)
        return self._pages(lambda: self._blocking.walk(path, options))

    async def delete(self, path: str) -> None:
        await self._threads.run(lambda: self._blocking.delete(path))

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        if self._is_left_out("delete_many"):
            return await super().delete_many(paths)
        return await self._threads.run(lambda: self._blocking.delete_many(paths))

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        if self._is_left_out("move"):
            await super().move(source, target, if_absent=if_absent)
        else:
            await self._threads.run(
                lambda: self._blocking.move(source, target, if_absent=if_absent)
            )

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self._threads.run(lambda: self._blocking.copy(source, target, if_absent=if_absent))

    async def checksum(self, path: str, algorithm: str) -> str:
        return await self._threads.run(lambda: self._blocking.checksum(path, algorithm))

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        return await self._threads.run(
            lambda: self._blocking.redirect_url(
                path, method=method, expires=expires, content_type=content_type
            )
        )

    async def stored_name(self, path: str) -> str:
        return await self._threads.run(lambda: self._blocking.stored_name(path))

    async def local_path(self, path: str) -> str:
        return await self._threads.run(lambda: self._blocking.local_path(path))

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await self._threads.run(
            lambda: self._blocking.open_upload(path, holder, options),
            undo=self._blocking.abort_upload,
        )

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await self._threads.run(
            lambda: self._blocking.put_part(upload, number, offset, data)
        )

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        return await self._threads.run(
            lambda: self._blocking.copy_part(upload, number, offset, source, source_offset, size)
        )

    async def sync_upload(self, upload: Upload) -> None:
        await self._threads.run(lambda: self._blocking.sync_upload(upload))

    def release_upload(self, upload: Upload) -> None:
        if not self._is_left_out("release_upload"):
            self._threads.aside(lambda: self._blocking.release_upload(upload))

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await self._threads.run(
            lambda: self._blocking.upload_state(upload, size),
            undo=lambda _: self._blocking.release_upload(upload),
        )

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        return await self._threads.run(
            lambda: self._blocking.complete_upload(upload, parts, options)
        )

    async def abort_upload(self, upload: Upload) -> None:
        await self._threads.run(lambda: self._blocking.abort_upload(upload))

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        return self._pages(self._blocking.list_uploads)

    async def _pages(self, listing: Callable[[], Iterable[T]]) -> AsyncGenerator[T, None]:
        pages = Held(self._threads, await self._threads.run(lambda: iter(listing())), _close)
        try:
            while (page := await pages.use(lambda pages: next(pages, None))) is not None:
                yield page
        finally:
            await pages.aclose()

    def _is_left_out(self, method: str) -> bool:
        return getattr(type(self._blocking), method) is getattr(BlockingDriver, method)


class _ThreadedStream(ByteStream):
    """Reads a `BlockingReader` in threads."""

    def __init__(self, threads: Threads, reader: BlockingReader) -> None:
        self.info = reader.info
        self._reader = Held(threads, reader, lambda reader: reader.close())

    async def next_chunk(self) -> bytes:
        size = self.chunk_size
        return await self._reader.use(lambda reader: reader.read(size))

    async def aclose(self) -> None:
        await self._reader.aclose()


def _close(pages: Iterator[object]) -> None:
    """End a listing that is a generator; other iterators hold nothing."""
    close = getattr(pages, "close", None)
    if close is not None:
        close()
