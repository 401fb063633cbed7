"""What every middleware is made of: a driver that passes each call on to another."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar, final

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._errors import ConfigurationError
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
Narrow = Mapping[str, Any] | Callable[[Capabilities], Mapping[str, Any]]

_OF_ITS_OWN = frozenset({"sign_get", "sign_head"})
"""Verbs that need nothing of the store: a URL can lead to another server that has its files."""


class DriverMiddleware(StorageDriver):
    """A driver around another one; a subclass overrides only what it changes.

    Every wait for the wrapped driver goes through `around`: each call, each chunk of a reader and
    each page of a listing. So a middleware that treats them all alike overrides `around` alone,
    and sees calls that the contract gains later, too. Others override single methods and use
    `super()`. Never through `around` go `open`, `release_upload`, and every `aclose`, which must
    always release.

    Errors and tokens go on naming the wrapped driver.

    Args:
        driver: The driver to wrap, unopened. The middleware opens and closes it.
        narrow: Capabilities to narrow, by field; or what gives them for those of the driver, and
            can be pickled if the middleware is to be.
        own_verbs: `sign_get` and `sign_head`, where the middleware makes such URLs by itself,
            whether the wrapped driver can or not. There are no other verbs that it could do alone.

    Attributes:
        driver: The wrapped driver.
        own_digests: Algorithms whose digests the middleware wants beside those of the driver.

    Raises:
        ConfigurationError: `narrow` would widen, or a verb of `own_verbs` is another one.
    """

    own_digests: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        driver: StorageDriver,
        *,
        narrow: Narrow | None = None,
        own_verbs: Collection[str] = (),
    ) -> None:
        self.driver = driver
        # A driver's name is its class's; only a wrapper takes it from an instance.
        self.name = driver.name  # type: ignore[misc]
        for verb in own_verbs:
            if verb not in _OF_ITS_OWN:
                raise ConfigurationError(f"capability {verb!r} is the driver's alone")
        self._narrow: Narrow = narrow or {}
        self._own_verbs: dict[str, Any] = dict.fromkeys(own_verbs, True)
        self._declare()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self.driver!r}>"

    @property
    @final
    def capabilities(self) -> Capabilities:
        """Those of the wrapped driver, narrowed, and the middleware's own verbs."""
        return self._capabilities

    def _declare(self) -> None:
        declared = self.driver.capabilities
        changes = self._narrow(declared) if callable(self._narrow) else self._narrow
        self._capabilities = dataclasses.replace(declared.narrow(changes), **self._own_verbs)
        self.wanted_digests = (*self.own_digests, *self.driver.wanted_digests)

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make one call of the wrapped driver; override to do something around every call.

        Args:
            operation: The contract's method; `read` for a chunk of a reader; `list`, `walk` or
                `list_uploads` for one page.
            path: Path that the call is about; empty where there is none or are many.
            call: Makes the call. Calling it again repeats it, but not for `read` and pages: a
                reader or listing that has raised is over.
        """
        return await call()

    async def around_pages(
        self, operation: str, path: str, pages: AsyncGenerator[T, None]
    ) -> AsyncGenerator[T, None]:
        """Give `pages`, each one by a call of `around`."""

        async def step() -> T | None:
            return await anext(pages, None)

        try:
            while (page := await self.around(operation, path, step)) is not None:
                yield page
        finally:
            # A step that `around` gave up waiting for may still run; its end closes the pages.
            if not getattr(pages, "ag_running", False):
                await pages.aclose()

    # The contract ------------------------------------------------------------------------------

    async def open(self) -> None:
        await self.driver.open()
        try:
            # Some drivers learn only now what they can do.
            self._declare()
        except ConfigurationError:
            await self.driver.aclose()
            raise

    async def aclose(self) -> None:
        await self.driver.aclose()

    async def check(self) -> None:
        await self.around("check", "", self.driver.check)

    async def identity(self) -> Mapping[str, str]:
        return await self.around("identity", "", self.driver.identity)

    async def now(self) -> datetime:
        return await self.around("now", "", self.driver.now)

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        return await self.around("stat", path, lambda: self.driver.stat(path, conditions))

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await self.around(
            "open_reader", path, lambda: self.driver.open_reader(path, options)
        )
        return MiddlewareStream(self, stream)

    async def get_content(self, path: str) -> bytes:
        return await self.around("get_content", path, lambda: self.driver.get_content(path))

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        return await self.around(
            "put_content", path, lambda: self.driver.put_content(path, data, options)
        )

    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self.around_pages("list", path, self.driver.list(path, options))

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        return self.around_pages("walk", path, self.driver.walk(path, options))

    async def delete(self, path: str) -> None:
        await self.around("delete", path, lambda: self.driver.delete(path))

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        return await self.around("delete_many", "", lambda: self.driver.delete_many(paths))

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self.around(
            "move", source, lambda: self.driver.move(source, target, if_absent=if_absent)
        )

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self.around(
            "copy", source, lambda: self.driver.copy(source, target, if_absent=if_absent)
        )

    async def checksum(self, path: str, algorithm: str) -> str:
        return await self.around("checksum", path, lambda: self.driver.checksum(path, algorithm))

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        return await self.around(
            "redirect_url",
            path,
            lambda: self.driver.redirect_url(
                path, method=method, expires=expires, content_type=content_type
            ),
        )

    async def stored_name(self, path: str) -> str:
        return await self.around("stored_name", path, lambda: self.driver.stored_name(path))

    async def local_path(self, path: str) -> str:
        return await self.around("local_path", path, lambda: self.driver.local_path(path))

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        return await self.around(
            "open_upload", path, lambda: self.driver.open_upload(path, holder, options)
        )

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        return await self.around(
            "put_part", upload.path, lambda: self.driver.put_part(upload, number, offset, data)
        )

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        return await self.around(
            "copy_part",
            upload.path,
            lambda: self.driver.copy_part(upload, number, offset, source, source_offset, size),
        )

    async def sync_upload(self, upload: Upload) -> None:
        await self.around("sync_upload", upload.path, lambda: self.driver.sync_upload(upload))

    def release_upload(self, upload: Upload) -> None:
        self.driver.release_upload(upload)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        return await self.around(
            "upload_state", upload.path, lambda: self.driver.upload_state(upload, size)
        )

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        return await self.around(
            "complete_upload",
            upload.path,
            lambda: self.driver.complete_upload(upload, parts, options),
        )

    async def abort_upload(self, upload: Upload) -> None:
        await self.around("abort_upload", upload.path, lambda: self.driver.abort_upload(upload))

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        return self.around_pages("list_uploads", "", self.driver.list_uploads())


class MiddlewareStream(ByteStream):
    """A byte stream of the wrapped driver, each of whose chunks goes through `around`.

    Args:
        middleware: The middleware.
        stream: The wrapped driver's stream.
    """

    def __init__(self, middleware: DriverMiddleware, stream: ByteStream) -> None:
        self.info = stream.info
        self._middleware = middleware
        self._stream = stream

    async def next_chunk(self) -> bytes:
        self._stream.chunk_size = self.chunk_size
        return await self._middleware.around("read", self.info.path, self._stream.next_chunk)

    async def aclose(self) -> None:
        await self._stream.aclose()
