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

import asyncio
import enum
import hashlib
import logging
import time
import warnings
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from storagedriver_core._capabilities import Capabilities
from storagedriver_core._driver import StorageDriver
from storagedriver_core._errors import (
    ChecksumMismatchError,
    ClosedError,
    InvalidOffsetError,
    PathNotFoundError,
    StorageDriverError,
    UnsupportedMethodError,
    UploadNotFoundError,
)
from storagedriver_core._hash_queue import HashQueue
from storagedriver_core._paths import INTERNAL_COMPONENT
from storagedriver_core._token import UploadToken
from storagedriver_core._types import (
    Buffer,
    CompleteOptions,
    FileInfo,
    OperationEvent,
    PutOptions,
    ReadOptions,
)
from storagedriver_core._uploader import PartUploader

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

logger = logging.getLogger(__name__)


class WriterState(enum.Enum):
    """States of a `FileWriter`."""

    OPEN = "open"
    SUSPENDED = "suspended"
    COMMITTED = "committed"
    CANCELLED = "cancelled"
    CLOSED = "closed"


def tail_directory(upload_id: str) -> str:
    """Give the internal directory of an upload's sidecars.

    ```text
    /.storagedriver/tails/<hash of the upload id>/<offset>
    ```
    """
    name = hashlib.sha256(upload_id.encode()).hexdigest()[:32]
    return f"/{INTERNAL_COMPONENT}/tails/{name}"


class FileWriter:
    """Writes one object; what is written becomes visible at `commit`, all or nothing.

    Get one from `Storage.writer` or `Storage.resume`. One task at a time may use it.
    """

    def __init__(
        self,
        driver: StorageDriver,
        capabilities: Capabilities,
        uploader: PartUploader,
        hashes: HashQueue,
        *,
        part_size: int,
        check_path: Callable[[str], None],
        observe: Callable[[OperationEvent], None] | None = None,
        token: UploadToken | None = None,
        completed: FileInfo | None = None,
    ) -> None:
        self._driver = driver
        self._capabilities = capabilities
        self._uploader = uploader
        self._hashes = hashes
        self._part_size = part_size
        self._check_path = check_path
        self._observe = observe
        self._tail = token.tail if token else ""
        self._token_is_out = token is not None
        self._completed = completed
        self._state = WriterState.OPEN
        self._digests: dict[str, str] | None = None
        self._started = time.monotonic()
        self._first_offset = uploader.offset

    def __repr__(self) -> str:
        return f"<FileWriter {self.path!r} {self._state.value} offset={self.offset}>"

    def __del__(self) -> None:
        if getattr(self, "_state", None) is WriterState.OPEN:
            self._driver.release_upload(self._uploader.upload)
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=1)

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
        """Bytes accepted."""
        return self._uploader.offset

    @property
    def durable_offset(self) -> int:
        """Bytes that survive the loss of this process, and that the token promises."""
        return self._uploader.durable_offset

    @property
    def digests(self) -> dict[str, str]:
        """Lower-case hex digests of everything written, by algorithm; known after `commit`."""
        if self._digests is None:
            raise ClosedError("digests are known after commit", path=self.path)
        return self._digests

    async def write(self, data: Buffer, *, offset: int | None = None) -> None:
        """Accept `data`, whole. A cancelled call has accepted nothing.

        An error of an earlier part may show here. What is below `durable_offset` is safe then,
        and the token resumes from there.

        Args:
            data: Bytes; another buffer than `bytes` is copied.
            offset: If given, must be where the writer stands.

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
            raise self._closed("write", "the upload is already committed")
        try:
            await self._uploader.accept(data)
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
        uploader = self._uploader
        return UploadToken(
            driver_name=self._driver.name,
            upload=uploader.upload,
            offset=uploader.durable_offset,
            part_size=self._part_size,
            parts=tuple(uploader.parts),
            tail=self._tail,
            hashes=uploader.durable_states,
        )

    async def suspend(self) -> UploadToken:
        """Make everything accepted durable, release local resources, and give the token.

        The writer is over then; `Storage.resume` makes the next. If this raises, the writer is
        still open.
        """
        self._require_open("suspend")
        uploader = self._uploader
        try:
            await uploader.drain(everything=False)
            tail = uploader.tail
            if tail:
                path = f"{tail_directory(uploader.upload.upload_id)}/{uploader.offset}"
                await self._driver.put_content(path, tail, PutOptions())
                self._tail = path
            elif uploader.offset > uploader.durable_offset:
                self._tail = ""
            await uploader.sync()
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
            to: Publish at this path instead.
            if_absent: Refuse if there is an object already.
            size: Bytes that must have been written.
            digest: Digest that must come out, as `sha256:<hex>`.

        Raises:
            ChecksumMismatchError: `size` or `digest` differ; nothing was published.
            AlreadyExistsError: `if_absent`, and there is an object.
            UploadNotFoundError: The upload is gone; with `outcome` `unknown` it may have been
                committed by somebody who has the token.
            ConflictError: Another writer has taken the upload over.
        """
        self._require_open("commit")
        target = self.path if to is None else to
        self._check_path(target)
        if if_absent and not self._capabilities.put_if_absent:
            raise UnsupportedMethodError(capability="put_if_absent").stamp(
                self._driver.name, "commit", target
            )
        try:
            info = await self._commit(target, if_absent, size, digest)
        except StorageDriverError as error:
            error.stamp(self._driver.name, "commit", target)
            raise
        self._digests = self._hashes.hexdigests()
        self._end(WriterState.COMMITTED)
        return info

    async def cancel(self) -> None:
        """Drop the upload and everything that was written.

        Raises:
            UploadNotFoundError: It was gone already.
        """
        self._require_open("cancel")
        try:
            await self._uploader.stop()
            await self._driver.abort_upload(self._uploader.upload)
            await self._delete_sidecars()
        except StorageDriverError as error:
            error.stamp(self._driver.name, "cancel", self.path)
            raise
        self._end(WriterState.CANCELLED)

    async def aclose(self) -> None:
        """Let go. Publishes nothing; cancels the upload unless a token was handed out.

        Idempotent. An upload that cannot be cancelled now is left to the purge, with a warning in
        the log.
        """
        if self._state is not WriterState.OPEN:
            return
        upload = self._uploader.upload
        self._end(WriterState.CLOSED)
        try:
            await self._uploader.stop()
            if not self._token_is_out:
                await self._driver.abort_upload(upload)
        except UploadNotFoundError:
            pass
        except StorageDriverError as error:
            logger.warning("upload for %s is left to the purge: %s", self.path, error)
        finally:
            self._driver.release_upload(upload)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _commit(
        self, target: str, if_absent: bool, size: int | None, digest: str | None
    ) -> FileInfo:
        if self._completed is not None:
            await self._verify_stored(self._completed.path, size, digest)
            return self._completed
        uploader = self._uploader
        if size is not None and size != uploader.offset:
            raise ChecksumMismatchError(f"{uploader.offset} bytes were written, not {size}")
        await uploader.drain(everything=uploader.offset > 0)
        read_back = digest is not None and not self._digest_is_known(digest)
        late_target = self._capabilities.late_target
        if read_back:
            place = (
                f"{tail_directory(uploader.upload.upload_id)}/whole" if late_target else self.path
            )
        else:
            place = target if late_target else self.path
        info = await self._publish(place, if_absent and place == target)
        if read_back:
            try:
                await self._verify_stored(place, size, digest)
            except ChecksumMismatchError:
                await self._driver.delete(place)
                raise
        if place != target:
            await self._driver.move(place, target, if_absent=if_absent)
            info = await self._driver.stat(target)
        await self._delete_sidecars()
        return info

    async def _publish(self, path: str, if_absent: bool) -> FileInfo:
        uploader = self._uploader
        if uploader.offset == 0 and self._capabilities.keeps_ledger:
            # Stores with parts have no upload without one: an empty commit is a plain put.
            options = uploader.upload.options
            put = PutOptions(
                content_type=options.content_type, metadata=options.metadata, if_absent=if_absent
            )
            info = await self._driver.put_content(path, b"", put)
            await self._driver.abort_upload(uploader.upload)
            return info
        complete = CompleteOptions(path=path, size=uploader.offset, if_absent=if_absent)
        return await self._driver.complete_upload(uploader.upload, uploader.parts, complete)

    def _digest_is_known(self, digest: str) -> bool:
        """Check the digest that was computed on the way; False where there is none."""
        algorithm, _, expected = digest.partition(":")
        actual = self._hashes.hexdigests().get(algorithm)
        if actual is not None and actual != expected:
            raise ChecksumMismatchError(f"{algorithm}:{actual} was written, not {digest}")
        return actual is not None

    async def _verify_stored(self, path: str, size: int | None, digest: str | None) -> None:
        """Read the object once and compare."""
        if digest is None and size is None:
            return
        algorithm, _, expected = (digest or "sha256:").partition(":")
        running = hashlib.new(algorithm)
        length = 0
        async with await self._driver.open_reader(path, ReadOptions()) as stream:
            while chunk := await stream.next_chunk():
                length += len(chunk)
                await asyncio.to_thread(running.update, chunk)
        if size is not None and length != size:
            raise ChecksumMismatchError(f"{length} bytes are stored, not {size}")
        if digest is not None and running.hexdigest() != expected:
            raise ChecksumMismatchError(
                f"{algorithm}:{running.hexdigest()} is stored, not {digest}"
            )

    async def _delete_sidecars(self) -> None:
        # Without a ledger there is no tail, and only a token can have left one.
        if self._token_is_out and self._capabilities.keeps_ledger:
            with suppress(PathNotFoundError):
                await self._driver.delete(tail_directory(self._uploader.upload.upload_id))

    def _end(self, state: WriterState) -> None:
        self._state = state
        self._driver.release_upload(self._uploader.upload)
        if self._observe is not None:
            seconds = time.monotonic() - self._started
            size = self._uploader.offset - self._first_offset
            self._observe(OperationEvent(self._driver.name, "write", self.path, seconds, size))

    def _require_open(self, operation: str) -> None:
        if self._state is not WriterState.OPEN:
            raise self._closed(operation)

    def _closed(self, operation: str, message: str = "") -> ClosedError:
        text = message or f"the writer is {self._state.value}"
        return ClosedError(text, driver_name=self._driver.name, operation=operation, path=self.path)
