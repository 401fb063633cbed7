"""Uploads: the stateless calls pass through, and so do the tokens made of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from storagedriver_core import (
    Buffer,
    CompleteOptions,
    FileInfo,
    Part,
    StorageDriver,
    StorageDriverError,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
    undo_if_cancelled,
)
from storagedriver_remote import _wire
from storagedriver_remote._link import Link, understood

_logger = logging.getLogger(__name__)

_RELEASE_SECONDS = 5.0


class RemoteUploads(StorageDriver):
    """The upload calls of `RemoteDriver`.

    Args:
        link: The way to the other side.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop: asyncio.AbstractEventLoop | None = None
        self._releases: dict[str, asyncio.Task[None]] = {}
        # Uploads that a writer here holds, by name and holder: the other side has to hear that it
        # lives.
        self._held: set[tuple[str, str]] = set()
        self._lease = 0.0
        self._renewal: asyncio.TimerHandle | None = None

    def _begin_uploads(self, lease: float) -> None:
        """Say how long the other side holds an upload for a writer that is not heard of."""
        self._loop = asyncio.get_running_loop()
        self._lease = lease

    async def _end_uploads(self) -> None:
        """Wait for the releases that are under way."""
        self._loop = None
        if self._renewal is not None:
            self._renewal.cancel()
        self._held.clear()
        if self._releases:
            await asyncio.wait(self._releases.values(), timeout=_RELEASE_SECONDS)
        for task in self._releases.values():
            task.cancel()

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        async def begin() -> Upload:
            said = await self._link.tell(
                "open_upload",
                path=path,
                holder=holder,
                options=_wire.upload_options_json(options),
            )
            with understood("unknown"):
                found = _wire.upload_from(said)
            return Upload(path, found.upload_id, found.data, holder, options)

        upload = await undo_if_cancelled(begin(), self.abort_upload)
        self._hold(upload)
        return upload

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        part = await self._link.tell(
            "put_part", data, upload=_wire.upload_json(upload), number=number, offset=offset
        )
        with understood("unknown"):
            return _wire.part_from(part)

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        part = await self._link.tell(
            "copy_part",
            upload=_wire.upload_json(upload),
            number=number,
            offset=offset,
            source=source,
            source_offset=source_offset,
            size=size,
        )
        with understood("unknown"):
            return _wire.part_from(part)

    async def sync_upload(self, upload: Upload) -> None:
        # Where parts are durable as they come, there is nothing to say.
        if not self.capabilities.durable_parts:
            await self._link.tell("sync_upload", upload=_wire.upload_json(upload))

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        async def take() -> UploadState:
            state = await self._link.tell(
                "upload_state", upload=_wire.upload_json(upload), size=size
            )
            with understood("unknown"):
                return _wire.state_from(state)

        # Who held it before may be on the way out.
        if (release := self._releases.get(upload.upload_id)) is not None:
            await asyncio.wait([release])
        state = await undo_if_cancelled(take(), lambda _: self._let_go(upload))
        self._hold(upload)
        return state

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        info = await self._link.tell(
            "complete_upload",
            upload=_wire.upload_json(upload),
            parts=[_wire.part_json(part) for part in parts],
            options=_wire.complete_json(options),
        )
        with understood("unknown"):
            return _wire.file_from(info)

    async def abort_upload(self, upload: Upload) -> None:
        await self._link.tell("abort_upload", upload=_wire.upload_json(upload))
        self._held.discard((upload.upload_id, upload.holder))

    async def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        # What writers here have let go is not to be seen as held.
        if self._releases:
            await asyncio.wait(self._releases.values())
        async with aclosing(self._link.pages("list_uploads", _wire.upload_info_from)) as pages:
            async for page in pages:
                yield page

    # Holding and letting go --------------------------------------------------------------------

    def release_upload(self, upload: Upload) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            self._release(upload)
        else:
            # By the garbage collector, on whatever thread.
            loop.call_soon_threadsafe(self._release, upload)

    def _release(self, upload: Upload) -> None:
        key = (upload.upload_id, upload.holder)
        if self._loop is None or key not in self._held:
            return
        self._held.discard(key)
        task = asyncio.create_task(self._let_go(upload))
        self._releases[upload.upload_id] = task
        task.add_done_callback(lambda done: self._released(upload, done))

    def _released(self, upload: Upload, task: asyncio.Task[None]) -> None:
        if self._releases.get(upload.upload_id) is task:
            del self._releases[upload.upload_id]

    async def _let_go(self, upload: Upload) -> None:
        try:
            await self._link.tell("release_upload", upload=_wire.upload_json(upload))
        except StorageDriverError as error:
            # What is not let go is so when the lease ends.
            _logger.debug("upload for %s is not released: %s", upload.path, error)

    def _hold(self, upload: Upload) -> None:
        self._held.add((upload.upload_id, upload.holder))
        if self._lease and self._renewal is None:
            self._renew_later()

    def _renew_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._renewal = loop.call_later(self._lease / 4, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        if self._held and self._loop is not None:
            task = asyncio.create_task(self._tell_that_we_live())
            self._releases[""] = task  # waited for like the others
            task.add_done_callback(lambda _: self._releases.pop("", None))
            self._renew_later()

    async def _tell_that_we_live(self) -> None:
        try:
            await self._link.renew()
        except StorageDriverError as error:
            _logger.debug("the lease is not renewed: %s", error)
