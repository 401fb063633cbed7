"""The one writer state machine, over every driver's stateless upload calls.

```text
            write, token               suspend
  ┌──────────┐ ─┐             ┌────────────────────► SUSPENDED   resumable by token
  │          │◄─┘             │        commit
  │   OPEN   │ ───────────────┼────────────────────► COMMITTED   visible, durable
  │          │                │        cancel
  └──────────┘                ├────────────────────► CANCELLED   nothing left
        ▲                     │  aclose, or leaving `async with`
        │ resume(token)       └────────────────────► CLOSED      cancelled, unless a token is out
```

Rule 1: only `commit` publishes. Leaving `async with`, `aclose` or losing the writer never does.
Rule 2: out of OPEN, every call but `aclose` and `token` is a `ClosedError`.
Rule 3: once a token was handed out, the upload stays until `cancel`, `commit` or a purge.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import time
import warnings
from types import TracebackType
from typing import TYPE_CHECKING

from storagedriver_core._commit import Commit
from storagedriver_core._context import Context
from storagedriver_core._errors import (
    ChecksumMismatchError,
    ClosedError,
    InvalidOffsetError,
    StorageDriverError,
    UploadNotFoundError,
)
from storagedriver_core._hash_queue import HashQueue
from storagedriver_core._shield import finish
from storagedriver_core._sidecars import delete_sidecars, put_tail
from storagedriver_core._token import UploadToken
from storagedriver_core._types import Buffer, FileInfo, OperationEvent
from storagedriver_core._uploader import PartUploader

if TYPE_CHECKING:
    from typing import Self

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 5.0
"""What was sent of an upload that is dropped may take so long to arrive."""


class WriterState(enum.Enum):
    """States of a `FileWriter`."""

    OPEN = "open"
    SUSPENDED = "suspended"
    COMMITTED = "committed"
    CANCELLED = "cancelled"
    CLOSED = "closed"


class FileWriter:
    """Writes one object; what is written becomes visible at `commit`, all or nothing.

    Get one from `Storage.writer` or `Storage.resume`. One task at a time may use it.
    """

    def __init__(
        self,
        context: Context,
        uploader: PartUploader,
        hashes: HashQueue,
        *,
        part_size: int,
        token_is_out: bool = False,
        completed: FileInfo | None = None,
    ) -> None:
        self._context = context
        self._driver = context.driver
        self._uploader = uploader
        self._hashes = hashes
        self._part_size = part_size
        self._token_is_out = token_is_out
        self._completed = completed
        self._state = WriterState.OPEN
        self._tried_tail = False
        self._digests: dict[str, str] | None = None
        self._started = time.monotonic()
        self._first_offset = uploader.offset

    def __repr__(self) -> str:
        return f"<FileWriter {self.path!r} {self._state.value} offset={self.offset}>"

    def __del__(self) -> None:
        if getattr(self, "_state", None) is WriterState.OPEN:
            self._driver.release_upload(self._uploader.upload)
            lost = ResourceWarning(f"{self!r} was never closed")
            warnings.warn(lost, source=self, stacklevel=1)
            self._context.observe_lost(self._event(lost))

    @property
    def path(self) -> str:
        """Path that the writer was opened for."""
        return self._uploader.upload.path

    @property
    def state(self) -> WriterState:
        """Where the writer stands."""
        return self._state

    @property
    def offset(self) -> int:
        """Bytes accepted; all bytes of an upload that was found to be committed already."""
        return self._uploader.offset if self._completed is None else self._completed.size

    @property
    def durable_offset(self) -> int:
        """Bytes that survive the loss of this process, and that the token promises."""
        if self._completed is not None or self._state is WriterState.COMMITTED:
            return self.offset
        return self._uploader.durable.offset

    @property
    def digests(self) -> dict[str, str]:
        """Lower-case hex digests of the object, by algorithm; known after `commit`.

        Those that were computed on the way or checked at the commit: after a resumption, a digest
        whose state could not be saved is missing.
        """
        if self._digests is None:
            raise ClosedError("digests are known after commit", path=self.path)
        return self._digests

    async def write(self, data: Buffer, *, offset: int | None = None, frozen: bool = False) -> None:
        """Accept `data`, whole. A cancelled call has accepted nothing.

        An error of an earlier part may show here. What is below `durable_offset` is safe then,
        and the token resumes from there.

        Args:
            data: Bytes; another buffer than `bytes` is copied, unless it is `frozen`.
            offset: If given, must be where the writer stands.
            frozen: Whether nobody changes `data` after the call. Its memory can be used again when
                the last view of it is gone, which the writer, its driver or its hashing may have.

        Raises:
            InvalidOffsetError: `offset` is another than `self.offset`. Carries `durable_offset`.
            LimitExceededError: The data would not fit. Nothing of it was accepted.
            ClosedError: The writer is not open.
        """
        self._require_open("write")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(
                f"write takes bytes, bytearray or memoryview, not {type(data).__name__}"
            )
        if offset is not None and offset != self.offset:
            raise InvalidOffsetError(
                f"the writer stands at {self.offset}, not {offset}",
                offset=offset,
                durable_offset=self.durable_offset,
            ).stamp(self._driver.name, "write", self.path)
        if self._completed is not None:
            if memoryview(data).nbytes:
                raise self._closed("write", "the upload is already committed")
            return
        try:
            await self._uploader.accept(data, frozen=frozen)
        except StorageDriverError as error:
            error.stamp(self._driver.name, "write", self.path)
            raise

    def token(self) -> UploadToken:
        """Give the state at `durable_offset`, with which any process can go on.

        From now on the upload stays until it is committed, cancelled or purged.
        """
        if self._state not in (WriterState.OPEN, WriterState.SUSPENDED):
            raise self._closed("token")
        self._token_is_out = True
        durable = self._uploader.durable
        return UploadToken(
            driver_name=self._driver.name,
            upload=dataclasses.replace(self._uploader.upload, holder=""),
            offset=durable.offset,
            part_size=self._part_size,
            parts=tuple(self._uploader.parts[: durable.parts]),
            tail=durable.tail,
            hashes=durable.hashes,
        )

    async def suspend(self) -> UploadToken:
        """Make everything accepted durable, release local resources, and give the token.

        The writer is over then; `Storage.resume` makes the next. If this raises, the writer is
        still open.
        """
        self._require_open("suspend")
        try:
            if self._completed is None:
                await self._uploader.drain()
                uploader = self._uploader
                self._tried_tail = True
                tail = await put_tail(
                    self._context, uploader.upload, uploader.offset, uploader.tail
                )
                await uploader.sync(tail)
        except StorageDriverError as error:
            error.stamp(self._driver.name, "suspend", self.path)
            raise
        self._end(WriterState.SUSPENDED)
        return self.token()

    async def commit(
        self,
        *,
        to: str | None = None,
        if_absent: bool = False,
        size: int | None = None,
        digest: str | None = None,
    ) -> FileInfo:
        """Publish what was written, whole, at the path or at `to`.

        May be repeated after an error that is temporary or of unknown outcome.

        Args:
            to: Publish at this path instead. Where the target is not bound late (`late_target`),
                the object is completed at the writer's own path first, and then moved.
            if_absent: Refuse if there is an object already.
            size: Bytes that must have been written.
            digest: Digest that must come out, as `sha256:<hex>`.

        Raises:
            ChecksumMismatchError: `size` or `digest` differ; nothing was published. Where the
                digest had to be read back, the upload is gone, too.
            AlreadyExistsError: `if_absent`, and there is an object; or, without `late_target`, one
                is at the writer's own path, which the new one has to pass. The upload stays,
                unless it had to be completed before it could be moved to the target.
            UploadNotFoundError: The upload is gone; with `outcome` `unknown` it may have been
                committed by somebody who has the token.
            ConflictError: Another writer has taken the upload over.
            UnsupportedMethodError: The digest could be checked only after publishing: its state
                could not be saved when the writer was suspended, and the target is the writer's
                own path on a store without `late_target`.
        """
        self._require_open("commit")
        target = self.path if to is None else to
        self._context.check(target)
        try:
            if if_absent:
                self._context.require("put_if_absent")
            if size is not None and size != self.offset:
                raise ChecksumMismatchError(f"{self.offset} bytes were written, not {size}")
            commit = Commit(
                self._context,
                self._uploader,
                self._hashes,
                self._completed,
                self._has_sidecars,
                target,
                if_absent,
                digest,
            )
            info, digests = await commit.publish()
        except StorageDriverError as error:
            error.stamp(self._driver.name, "commit", target)
            raise
        self._digests = digests
        self._end(WriterState.COMMITTED)
        return info

    async def cancel(self) -> None:
        """Drop the upload and everything that was written.

        Raises:
            UploadNotFoundError: It was gone already.
        """
        self._require_open("cancel")
        try:
            await self._uploader.stop(patience=_PATIENCE_SECONDS)
            await self._driver.abort_upload(self._uploader.upload)
        except StorageDriverError as error:
            error.stamp(self._driver.name, "cancel", self.path)
            raise
        if self._has_sidecars:
            await delete_sidecars(self._context, self._uploader.upload)
        self._end(WriterState.CANCELLED)

    async def aclose(self) -> None:
        """Let go. Publishes nothing; cancels the upload unless a token was handed out.

        Idempotent. An upload that cannot be cancelled now is left to the purge, with a warning in
        the log.
        """
        if self._state is not WriterState.OPEN:
            return
        self._state = WriterState.CLOSED
        try:
            await finish(self._let_go())
        finally:
            self._end(WriterState.CLOSED)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def _has_sidecars(self) -> bool:
        # Without a ledger there is no tail, and only a token, or a suspend that failed, can have
        # left one.
        declared = self._context.capabilities
        return (self._token_is_out or self._tried_tail) and declared.keeps_ledger

    async def _let_go(self) -> None:
        await self._uploader.stop(patience=0.0 if self._token_is_out else _PATIENCE_SECONDS)
        if self._token_is_out:
            return
        try:
            self._context.require_open()
            await self._driver.abort_upload(self._uploader.upload)
            if self._has_sidecars:
                await delete_sidecars(self._context, self._uploader.upload)
        except UploadNotFoundError:
            pass
        except StorageDriverError as error:
            logger.warning("upload for %s is left to the purge: %s", self.path, error)

    def _end(self, state: WriterState) -> None:
        self._state = state
        self._driver.release_upload(self._uploader.upload)
        if self._context.observe is not None:
            self._context.observe(self._event(None))

    def _event(self, error: Exception | None) -> OperationEvent:
        """Give what observers are told of the writer's whole life."""
        seconds = time.monotonic() - self._started
        size = self._uploader.offset - self._first_offset
        return OperationEvent(self._driver.name, "write", self.path, seconds, size, error)

    def _require_open(self, operation: str) -> None:
        if self._state is not WriterState.OPEN:
            raise self._closed(operation)
        try:
            self._context.require_open()
        except ClosedError as error:
            error.stamp(self._driver.name, operation, self.path)
            raise

    def _closed(self, operation: str, message: str = "") -> ClosedError:
        text = message or f"the writer is {self._state.value}"
        return ClosedError(text, driver_name=self._driver.name, operation=operation, path=self.path)
