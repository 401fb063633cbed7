"""The contract for an author whose client library blocks: plain methods, no event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Protocol

from storagedriver_core._capabilities import Capabilities, unsupported
from storagedriver_core._errors import (
    ConflictError,
    InvalidOffsetError,
    UnavailableError,
)
from storagedriver_core._reader import byte_range
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

_READ_BYTES = 1024 * 1024


class SeekableFile(Protocol):
    """The three methods that `BlockingReader` needs of a binary file."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes; none at the end."""

    def seek(self, offset: int, /) -> object:
        """Go to `offset`."""

    def close(self) -> None:
        """Release what the file holds."""


class BlockingReader:
    """The body of one read: a range of a binary file that holds a whole object.

    Subclass it for bodies that are no such file, and override `read` and `close`.

    Args:
        info: The object, as at the opening.
        file: The file, which the reader closes.
        options: As `open_reader` was given them.

    Raises:
        InvalidOffsetError: The offset is beyond the end.
        ConflictError: The conditions do not hold.
    """

    def __init__(self, info: FileInfo, file: SeekableFile, options: ReadOptions) -> None:
        self.info = info
        self._file = file
        try:
            if options.conditions is not None and not options.conditions.hold_for(info):
                raise ConflictError("the conditions do not hold")
            if options.offset > info.size:
                raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
            start, end = byte_range(info.size, options)
            file.seek(start)
        except BaseException:
            file.close()
            raise
        self._left = end - start

    def read(self, size: int) -> bytes:
        """Give the next bytes, up to `size`; none at the end, and only there."""
        data = self._file.read(min(size, self._left))
        if not data and min(size, self._left) > 0:
            raise UnavailableError(f"the body ended {self._left} bytes early")
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Release what the reader holds. Called once."""
        self._file.close()


class BlockingDriver(ABC):
    """One configured store behind a blocking library: `StorageDriver` without `async`.

    Each method is the plain form of the one of the same name there, where arguments, results,
    errors and what the caller guarantees are said. `BlockingStorageDriver` calls them in threads,
    several at once: what they share needs a lock, unless it is given `threads=1`. The calls of one
    reader, and the steps of one listing, never overlap.

    Listings are plain generators of pages. Where `walk`, `move` or `delete_many` are left out, the
    portable way of `StorageDriver` is taken.

    ```python
    class ShelfDriver(BlockingDriver):
        name = "shelf"
        capabilities = Capabilities(get_range=True, list_after_write=True, fresh_reads=True)

        def __init__(self, file: str) -> None:
            self._file = file

        def open(self) -> None:
            self._shelf = shelve.open(self._file)

        def close(self) -> None:
            self._shelf.close()

        def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
            if path in self._shelf:
                data, changed = self._shelf[path]
                return FileInfo(path, len(data), changed)
            if path != "/" and not self._below(path):
                raise PathNotFoundError
            return FileInfo(path, is_dir=True)

        def open_reader(self, path: str, options: ReadOptions) -> BlockingReader:
            if path not in self._shelf:
                raise PathNotFoundError
            return BlockingReader(self.stat(path), io.BytesIO(self._shelf[path][0]), options)

        def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
            parents = map(str, PurePosixPath(path).parents)
            if self._below(path) or any(each in self._shelf for each in parents):
                raise ConflictError
            self._shelf[path] = (bytes(data), self.now())
            return self.stat(path)

        def list(self, path: str, options: ListOptions) -> Iterable[Sequence[FileInfo]]:
            if not self.stat(path).is_dir:
                raise PathNotFoundError
            start = len(child_prefix(path))
            names = {key[start:].partition("/")[0] for key in self._below(path)}
            yield [self.stat(child_prefix(path) + name) for name in sorted(names)]

        def delete(self, path: str) -> None:
            if not self.stat(path).is_dir:
                del self._shelf[path]
            for key in self._below(path):
                del self._shelf[key]

        def _below(self, path: str) -> Sequence[str]:
            return [key for key in self._shelf if key.startswith(child_prefix(path))]


    storage = Storage(BlockingStorageDriver(ShelfDriver("objects"), threads=1))
    ```

    Attributes:
        name: The driver's name.
        capabilities: What this instance, as configured, declares.
        wanted_digests: Digests that `complete_upload` is to be given of what a writer writes.
    """

    name: ClassVar[str]
    wanted_digests: tuple[str, ...] = ()

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this instance, as configured, declares. Never changes and costs nothing."""

    def open(self) -> None:
        """Acquire what the driver needs. Does nothing here."""

    def close(self) -> None:
        """Release everything. Idempotent. Does nothing here."""

    def check(self) -> None:
        """Return if the store can be used. Lists `/` here."""
        next(iter(self.list("/", ListOptions(page_size=1))), None)

    def identity(self) -> Mapping[str, str]:
        """Tell who we are to the store, and which it is, without a secret. Empty here."""
        return {}

    def now(self) -> datetime:
        """Give the aware UTC time by the store's clock."""
        return datetime.now(UTC)

    @abstractmethod
    def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        """Tell what is at `path`."""

    @abstractmethod
    def open_reader(self, path: str, options: ReadOptions) -> BlockingReader:
        """Open the file at `path` for reading."""

    def get_content(self, path: str) -> bytes:
        """Give the whole file. Opens a reader here."""
        reader = self.open_reader(path, ReadOptions())
        try:
            return b"".join(iter(lambda: reader.read(_READ_BYTES), b""))
        finally:
            reader.close()

    @abstractmethod
    def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        """Store `data` at `path`."""

    @abstractmethod
    def list(self, path: str, options: ListOptions) -> Iterable[Sequence[FileInfo]]:
        """Give the direct children of the directory `path`, page by page."""

    def walk(self, path: str, options: ListOptions) -> Iterable[Sequence[FileInfo]]:
        """Give every file below the directory `path`, page by page. May be left out."""
        raise NotImplementedError

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete the file or directory at `path`."""

    def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        """Delete files by path. May be left out."""
        raise NotImplementedError

    def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        """Move a file. May be left out, with `move="client_copy"`."""
        raise NotImplementedError

    def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        """Copy a file within the store. Needs `copy`."""
        raise unsupported(self, "copy")

    def checksum(self, path: str, algorithm: str) -> str:
        """Give the lower-case hex digest of the file. Needs `checksum_algorithms`."""
        raise unsupported(self, "checksum_algorithms")

    def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        """Give a signed URL. Needs `sign_get`, `sign_head` or `sign_put`."""
        raise unsupported(self, f"sign_{method.lower()}")

    def stored_name(self, path: str) -> str:
        """Give the name that the store itself has for the file, without a slash in front."""
        return path.removeprefix("/")

    def local_path(self, path: str) -> str:
        """Give a path for the operating system. Needs `local_path`."""
        raise unsupported(self, "local_path")

    def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        """Begin an upload. Needs `upload`, as do those that follow."""
        raise unsupported(self, "upload")

    def put_part(self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]) -> Part:
        """Store one part: the buffers of `data`, one after the other."""
        raise unsupported(self, "upload")

    def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        """Store a range of the file `source` as one part. Needs `copy_part`."""
        raise unsupported(self, "copy_part")

    def sync_upload(self, upload: Upload) -> None:
        """Make durable every part that was put. Does nothing here."""

    def release_upload(self, upload: Upload) -> None:
        """Let go of local resources that `upload.holder` holds. May block. Does nothing here."""

    def upload_state(self, upload: Upload, size: int) -> UploadState:
        """Find the upload again, and take it over for its holder."""
        raise unsupported(self, "upload")

    def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        """Publish the upload; release it."""
        raise unsupported(self, "upload")

    def abort_upload(self, upload: Upload) -> None:
        """Drop the upload; release it."""
        raise unsupported(self, "upload")

    def list_uploads(self) -> Iterable[Sequence[UploadInfo]]:
        """Give every upload in progress, page by page. Needs `list_uploads`."""
        raise unsupported(self, "list_uploads")
