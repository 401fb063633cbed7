"""Repeats what failed for a moment, and looks first where a repetition could do harm.

Only errors that are `temporary` are repeated, and nothing after a cancellation. Waiting grows
exponentially, with full jitter; a store that says when to come back is obeyed.

Once an attempt has ended with another outcome than `none`, the next one may find its traces:

| call | trace | so |
|---|---|---|
| `put_content` with `if_absent` or `if_match` | an object with the same bytes | done |
| `delete`, `delete_many` | nothing at the path | done |
| `move` | nothing at the source, a file at the target | done |
| `abort_upload` | no such upload | done |
| `complete_upload` | the object; the contract says to return it | done |
| `copy` or `move` with `if_absent` | a file at the target | `AlreadyExistsError` |
| `open_upload` | an upload that nobody knows of | left to the purge |

Every other call can be repeated as it is. What ends with an error after such an attempt has the
outcome `unknown`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import (
    AlreadyExistsError,
    ConflictError,
    PathNotFoundError,
    StorageDriverError,
    UploadNotFoundError,
)
from storagedriver_core._paths import child_prefix
from storagedriver_core._types import (
    Buffer,
    DeleteReport,
    FileInfo,
    ListOptions,
    PutOptions,
    ReadOptions,
    Upload,
    UploadInfo,
)
from storagedriver_core.middleware._attempts import Attempts, ResumingStream
from storagedriver_core.middleware._wrapper import DriverMiddleware

T = TypeVar("T")


class RetryParameters(BaseModel):
    """Parameters of `retry`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(5, ge=1, description="Attempts at most, the first one included.")
    base_delay: float = Field(
        0.1, gt=0, description="Seconds at most before the second attempt; doubles each time."
    )
    max_delay: float = Field(20.0, gt=0, description="Seconds that this grows to.")
    total: float = Field(120.0, gt=0, description="Seconds in which the last attempt must begin.")


class RetryMiddleware(DriverMiddleware):
    """Repeats calls that fail with a temporary error.

    A reader whose body breaks is opened again where it stands, pinned to the version that it began
    with, where the driver declares `get_range` and `get_with_conditions` and the object has an
    etag; elsewhere the error is raised. A listing goes on after its last entry where the driver
    declares `walk_with_start_after` and `ordered_walk`; elsewhere it is repeated only while nothing
    has been given out.
    """

    def __init__(self, driver: StorageDriver, parameters: RetryParameters) -> None:
        super().__init__(driver)
        self._parameters = parameters

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._repeat(operation, path, lambda _: call())

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await self.around(
            "open_reader", path, lambda: self.driver.open_reader(path, options)
        )
        declared = self.capabilities
        if not (declared.get_range and declared.get_with_conditions and stream.info.etag):
            return stream
        return ResumingStream(
            stream,
            options,
            reopen=lambda rest: self.driver.open_reader(path, rest),
            new_attempts=lambda: Attempts(self._parameters, "read", path),
        )

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        async def attempt(uncertain: bool) -> FileInfo:
            try:
                return await self.driver.put_content(path, data, options)
            except (AlreadyExistsError, ConflictError):
                info = await self._stored(path, data) if uncertain else None
                if info is None:
                    raise
                return info

        return await self._repeat("put_content", path, attempt)

    async def delete(self, path: str) -> None:
        async def attempt(uncertain: bool) -> None:
            try:
                await self.driver.delete(path)
            except PathNotFoundError:
                if not uncertain:
                    raise

        await self._repeat("delete", path, attempt)

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        async def attempt(uncertain: bool) -> DeleteReport:
            report = await self.driver.delete_many(paths)
            if uncertain:
                return DeleteReport((*report.deleted, *report.missing), (), report.failed)
            return report

        return await self._repeat("delete_many", "", attempt)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        async def attempt(uncertain: bool) -> None:
            moved = uncertain and not await self._is_file(source) and await self._is_file(target)
            if not moved:
                await self.driver.move(source, target, if_absent=if_absent)

        await self._repeat("move", source, attempt)

    async def abort_upload(self, upload: Upload) -> None:
        async def attempt(uncertain: bool) -> None:
            try:
                await self.driver.abort_upload(upload)
            except UploadNotFoundError:
                if not uncertain:
                    raise

        await self._repeat("abort_upload", upload.path, attempt)

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self._repeat_listing("list", path, self.driver.list, options)

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self._repeat_listing("walk", path, self.driver.walk, options)

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        # Uploads come in any order: there is no place to go on from.
        return self._repeat_pages("list_uploads", "", lambda _: self.driver.list_uploads(), None)

    def _repeat_listing(
        self,
        operation: str,
        path: str,
        listing: Callable[[str, ListOptions], AsyncGenerator[Sequence[FileInfo], None]],
        options: ListOptions,
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        def pages_after(place: str | None) -> AsyncGenerator[Sequence[FileInfo], None]:
            start = options.start_after if place is None else place
            return listing(path, dataclasses.replace(options, start_after=start))

        declared = self.capabilities
        resumable = declared.walk_with_start_after and declared.ordered_walk
        return self._repeat_pages(operation, path, pages_after, _place if resumable else None)

    async def _repeat_pages(
        self,
        operation: str,
        path: str,
        pages_after: Callable[[str | None], AsyncGenerator[Sequence[T], None]],
        place_of: Callable[[T], str] | None,
    ) -> AsyncGenerator[Sequence[T], None]:
        """Give pages; after an error begin again, or go on from the place of the last entry."""
        place: str | None = None
        given = False
        attempts = Attempts(self._parameters, operation, path)
        pages = pages_after(None)
        try:
            while True:
                try:
                    page = await anext(pages, None)
                except StorageDriverError as error:
                    if given and isinstance(error, PathNotFoundError):
                        return  # the directory was emptied since
                    if given and place_of is None:
                        raise
                    await attempts.again(error)
                    pages = pages_after(place)
                    continue
                if page is None:
                    return
                if page:
                    given = True
                    place = place_of(page[-1]) if place_of is not None else None
                    attempts = Attempts(self._parameters, operation, path)
                yield page
        finally:
            await pages.aclose()

    async def _repeat(
        self, operation: str, path: str, attempt: Callable[[bool], Awaitable[T]]
    ) -> T:
        """Make attempts; each is told whether an earlier one may have changed something."""
        attempts = Attempts(self._parameters, operation, path)
        while True:
            try:
                return await attempt(attempts.uncertain)
            except StorageDriverError as error:
                await attempts.again(error)

    async def _stored(self, path: str, data: Buffer) -> FileInfo | None:
        """Tell what is at `path` if it is a file that holds `data`."""
        try:
            info = await self.driver.stat(path)
            if info.is_dir or info.size != memoryview(data).nbytes:
                return None
            return info if await self.driver.get_content(path) == bytes(data) else None
        except PathNotFoundError:
            return None

    async def _is_file(self, path: str) -> bool:
        try:
            return not (await self.driver.stat(path)).is_dir
        except PathNotFoundError:
            return False


def _place(entry: FileInfo) -> str:
    """Give the `start_after` that stands for an entry: a directory counts with its slash."""
    return child_prefix(entry.path) if entry.is_dir else entry.path
