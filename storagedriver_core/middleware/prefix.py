"""Stores everything below one directory of the wrapped driver's store.

Outer paths are those that callers use, inner ones those of the wrapped driver:

```text
/x/y                   ──►  <prefix>/x/y
/.storagedriver/tails  ──►  <prefix>/.storagedriver/tails
```

Whatever goes in is made inner, and whatever comes out, errors and uploads included, outer. So a
token carries the outer path, and goes on working when the objects are moved to another prefix.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import (
    ConfigurationError,
    InvalidPathError,
    PartialDeleteError,
    PathNotFoundError,
    StorageDriverError,
)
from storagedriver_core._paths import is_internal, path_checker
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
from storagedriver_core.middleware._wrapper import DriverMiddleware

T = TypeVar("T")


class PrefixParameters(BaseModel):
    """Parameters of `prefix`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(description="Directory that holds everything, as `/a/b`.")


def _shorter_paths(by: int, declared: Capabilities) -> Mapping[str, int]:
    return {"max_path_bytes": declared.max_path_bytes - by}


class PrefixMiddleware(DriverMiddleware):
    """Stores everything below a directory, which need not exist yet.

    `/` is that directory. It always exists, as every root does, and nothing outside it can be
    named, listed or deleted. Uploads are listed if their path is below it. `max_path_bytes` is
    lower by the length of the prefix.

    Raises:
        ConfigurationError: The prefix is no path that the driver can store, or is `/`.
    """

    def __init__(self, driver: StorageDriver, parameters: PrefixParameters) -> None:
        prefix = parameters.prefix
        try:
            path_checker(driver.capabilities)(prefix)
        except InvalidPathError as error:
            raise ConfigurationError(f"prefix {prefix!r}: {error.message}") from error
        length = len(prefix.encode())
        super().__init__(driver, narrow=functools.partial(_shorter_paths, length))
        self._prefix = prefix

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except StorageDriverError as error:
            self._make_outer(error)
            raise

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        if path == "/":
            # The root exists even where the prefix does not; the inner root is as good an answer.
            return await super().stat("/", conditions)
        return self._outer_info(await super().stat(self._inner(path), conditions))

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await super().open_reader(self._inner(path), options)
        stream.info = self._outer_info(stream.info)
        return stream

    async def get_content(self, path: str) -> bytes:
        return await super().get_content(self._inner(path))

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return self._outer_info(await super().put_content(self._inner(path), data, options))

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self._pages(path, super().list(self._inner(path), self._inner_options(options)))

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self._pages(path, super().walk(self._inner(path), self._inner_options(options)))

    async def delete(self, path: str) -> None:
        if path == "/":
            await self._delete_everything()
        else:
            await super().delete(self._inner(path))

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        report = await super().delete_many([self._inner(path) for path in paths])
        return DeleteReport(
            tuple(map(self._outer, report.deleted)),
            tuple(map(self._outer, report.missing)),
            self._outer_failures(report.failed),
        )

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await super().move(self._inner(source), self._inner(target), if_absent=if_absent)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await super().copy(self._inner(source), self._inner(target), if_absent=if_absent)

    async def checksum(self, path: str, algorithm: str) -> str:
        return await super().checksum(self._inner(path), algorithm)

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        return await super().redirect_url(
            self._inner(path), method=method, expires=expires, content_type=content_type
        )

    async def stored_name(self, path: str) -> str:
        return await super().stored_name(self._inner(path))

    async def local_path(self, path: str) -> str:
        return await super().local_path(self._inner(path))

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        upload = await super().open_upload(self._inner(path), holder, options)
        return self._outer_upload(upload)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await super().put_part(self._inner_upload(upload), number, offset, data)

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        return await super().copy_part(
            self._inner_upload(upload), number, offset, self._inner(source), source_offset, size
        )

    async def sync_upload(self, upload: Upload) -> None:
        await super().sync_upload(self._inner_upload(upload))

    def release_upload(self, upload: Upload) -> None:
        super().release_upload(self._inner_upload(upload))

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        state = await super().upload_state(self._inner_upload(upload), size)
        if state.completed is None:
            return state
        return dataclasses.replace(state, completed=self._outer_info(state.completed))

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        inner = dataclasses.replace(options, path=self._inner(options.path))
        return self._outer_info(
            await super().complete_upload(self._inner_upload(upload), parts, inner)
        )

    async def abort_upload(self, upload: Upload) -> None:
        await super().abort_upload(self._inner_upload(upload))

    async def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        pages = super().list_uploads()
        try:
            async for page in pages:
                yield [
                    dataclasses.replace(info, upload=self._outer_upload(info.upload))
                    for info in page
                    if self._is_below(info.upload.path)
                ]
        finally:
            await pages.aclose()

    async def _pages(
        self, path: str, pages: AsyncGenerator[Sequence[FileInfo], None]
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        try:
            async for page in pages:
                yield [self._outer_info(info) for info in page]
        except PathNotFoundError:
            if path != "/":
                raise
        finally:
            await pages.aclose()

    async def _delete_everything(self) -> None:
        """Delete what is below `/`, but not the sidecars of uploads in progress."""
        failures: dict[str, StorageDriverError] = {}
        async with aclosing(self.list("/", ListOptions())) as pages:
            async for page in pages:
                report = await self.delete_many([info.path for info in page if not info.is_dir])
                failures.update(report.failed)
                for info in page:
                    if info.is_dir and not is_internal(info.path):
                        failures.update(await self._delete_directory(info.path))
        if failures:
            raise PartialDeleteError(failures=failures)

    async def _delete_directory(self, path: str) -> Mapping[str, StorageDriverError]:
        """Delete a directory that was listed; give what failed below it."""
        try:
            await self.delete(path)
        except PathNotFoundError:
            pass  # gone since it was listed, or with the file of this name
        except PartialDeleteError as error:
            return error.failures
        return {}

    # Between outer and inner -------------------------------------------------------------------

    def _inner(self, path: str) -> str:
        return self._prefix if path == "/" else self._prefix + path

    def _is_below(self, inner: str) -> bool:
        return inner.startswith(f"{self._prefix}/")

    def _outer(self, inner: str) -> str:
        return inner[len(self._prefix) :] or "/"

    def _inner_options(self, options: ListOptions) -> ListOptions:
        if options.start_after is None:
            return options
        # A common prefix changes nothing in byte order.
        return dataclasses.replace(options, start_after=self._prefix + options.start_after)

    def _outer_info(self, info: FileInfo) -> FileInfo:
        return dataclasses.replace(info, path=self._outer(info.path))

    def _inner_upload(self, upload: Upload) -> Upload:
        return dataclasses.replace(upload, path=self._inner(upload.path))

    def _outer_upload(self, upload: Upload) -> Upload:
        return dataclasses.replace(upload, path=self._outer(upload.path))

    def _make_outer(self, error: StorageDriverError) -> None:
        if error.path == self._prefix or self._is_below(error.path):
            error.path = self._outer(error.path)
        if isinstance(error, PartialDeleteError):
            error.failures = self._outer_failures(error.failures)

    def _outer_failures(
        self, failures: Mapping[str, StorageDriverError]
    ) -> dict[str, StorageDriverError]:
        for error in failures.values():
            self._make_outer(error)
        return {self._outer(path): error for path, error in failures.items()}
