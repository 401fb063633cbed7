"""The contract that a driver's author fulfils.

`Storage` calls a driver; users hold a `Storage`. Everything that every driver needs is done there,
once, so a driver may rely on this:

- Every path is valid by the driver's own capabilities, absolute, and never `/` for a file.
- No call needs a capability that the driver does not declare.
- `offset` and `length` are never negative; data is never another type than `Buffer`.
- Calls come from one event loop at a time, between `open` and `aclose`, many at once.

And must hold to this:

- Errors are those of the error tree; driver name, operation and path may be left empty.
- A cancelled call raises `CancelledError`, leaks nothing, and has published all or nothing.
- Nothing blocks the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

from storagedriver_core._capabilities import Capabilities, unsupported
from storagedriver_core._errors import (
    ConflictError,
    PathNotFoundError,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_core._paths import child_prefix
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

if TYPE_CHECKING:
    from typing import Self


class ByteStream(ABC):
    """The body of one read, in chunks; what `StorageDriver.open_reader` returns.

    Attributes:
        info: The object that is read, as at the opening. Its `size` is the whole object's.
        chunk_size: Bytes that the next chunk should have at most: a wish, of whoever passes chunks
            on to somebody slow. A driver heeds it if that is cheap.
    """

    info: FileInfo
    chunk_size: int = 1024 * 1024

    @abstractmethod
    async def next_chunk(self) -> bytes:
        """Give the next chunk; `b""` at the end, and only there.

        Raises:
            UnavailableError: The body ended early or the connection was lost.
        """

    async def aclose(self) -> None:
        """Release what the stream holds. Idempotent, also after an error. Does nothing here."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class StorageDriver(ABC):
    """One configured store.

    A constructor does no I/O. The abstract methods are the least that a driver needs; each of the
    others belongs to the capability that its docstring names, and raises
    `UnsupportedMethodError` here.

    Attributes:
        name: The driver's name, such as `filesystem`; what configurations call it.
        wanted_digests: Algorithms, such as `sha256`, whose digests `complete_upload` is to be given
            of whatever a writer writes. Each costs the writer its time.
    """

    name: ClassVar[str]
    wanted_digests: tuple[str, ...] = ()

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this instance, as configured, declares. Costs nothing.

        Never changes, but by `open` where only that tells: until then it is the most that it can
        be.
        """

    async def open(self) -> None:
        """Acquire what the driver needs. Called once, before any other call.

        Raises:
            ConfigurationError: The store does not exist, or is not what the driver expects; its
                `key` is the parameter that is wrong, if it is one.
        """

    async def aclose(self) -> None:
        """Release everything that `open` and later calls acquired. Idempotent."""

    async def check(self) -> None:
        """Return if the store can be reached and used, with one cheap request; else raise.

        Raises:
            ConfigurationError: The store (root directory, bucket, container) does not exist.
            AuthenticationError: The credentials are wrong.
            UnavailableError: The store cannot be reached.
        """
        async with aclosing(self.list("/", ListOptions(page_size=1))) as pages:
            await anext(pages, None)

    async def identity(self) -> Mapping[str, str]:
        """Tell who this driver is to its store, and which store that is. Here: nothing.

        For people who look for what is wrong; so it says what it can even where the store cannot be
        reached, and sends no more than the SDK needs to find its credentials.

        Returns:
            Facts in order of interest, never a secret. Who: `credentials` (where they come from, as
            `environment`, `profile dev`, `web identity`, `instance role`, `anonymous`), then one of
            `access_key` (shortened), `account` and `principal`. Where: `endpoint`, `bucket`,
            `region`, as far as the store knows such things.
        """
        return {}

    async def now(self) -> datetime:
        """Give the aware UTC time by the store's clock, which the ages of uploads go by."""
        return datetime.now(UTC)

    # Objects -----------------------------------------------------------------------------------

    @abstractmethod
    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        """Tell what is at `path`, which may be `/`.

        A directory exists while anything lies under it; `/` always exists. Where a file and a
        directory share the name, the file answers. `stat("/a/b")` is not found when only `/a/b-c`
        or `/a/bc/d` exist.

        Raises:
            PathNotFoundError: Neither a file nor a directory is there.
            ConflictError: `conditions` do not hold.
        """

    @abstractmethod
    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        """Open the file at `path` for reading.

        The range has to be pinned to one version of the object: all bytes come from it, or a
        later `next_chunk` raises `ConflictError`.

        Raises:
            PathNotFoundError: There is no file (a directory is not one).
            InvalidOffsetError: `offset` is greater than the size. Equal to it gives an empty body.
            ConflictError: The conditions do not hold.
        """

    async def get_content(self, path: str) -> bytes:
        """Give the whole file. Override where one request is cheaper than opening a reader."""
        async with await self.open_reader(path, ReadOptions()) as stream:
            chunks = []
            while chunk := await stream.next_chunk():
                chunks.append(chunk)
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if len(data) != stream.info.size:
                raise UnavailableError(f"{len(data)} of {stream.info.size} bytes came")
            return data

    @abstractmethod
    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        """Store `data` at `path`, replacing a file; parent directories appear by themselves.

        Atomic with `atomic_commit`: a reader sees the old or the new object, whole. The data may
        change after the call returns, never before.

        Returns:
            What a following `stat` would say.

        Raises:
            ConflictError: `path` is a directory, or lies under a file, where names cannot be
                shared; or `if_match` does not hold.
            AlreadyExistsError: `if_absent`, and there is an object.
        """

    @abstractmethod
    def list(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        """Give the direct children of the directory `path` (which may be `/`), page by page.

        Entries have absolute paths, sizes and times, and each path once (a name that is both a
        file and a directory comes as both). With `ordered_walk` in byte order of the name, a
        directory's name counted with a trailing `/`; `start_after` is compared in the same way.
        A page may be empty. Never reads the whole subtree.

        Raises:
            PathNotFoundError: There is no such directory; never for `/`. Raised at the latest
                by the first step of the iterator.
        """

    def walk(self, path: str, options: ListOptions) -> AsyncGenerator[Sequence[FileInfo], None]:
        """Give every file below the directory `path`, page by page, directories left out.

        With `ordered_walk` in byte order of the full path. Here by `list`, one directory at a
        time; override where the store can list a tree.

        Raises:
            PathNotFoundError: There is no such directory; never for `/`.
        """
        return self._walk_by_lists(path, options)

    async def _walk_by_lists(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        # Each listing is closed with this one: an abandoned generator would wait to be collected.
        async with aclosing(self.list(path, ListOptions(page_size=options.page_size))) as pages:
            async for page in pages:
                files: list[FileInfo] = []
                for entry in page:
                    if not entry.is_dir:
                        if options.start_after is None or entry.path > options.start_after:
                            files.append(entry)
                        continue
                    if _is_passed(entry.path, options.start_after):
                        continue
                    if files:
                        yield files
                        files = []
                    try:
                        async with aclosing(self._walk_by_lists(entry.path, options)) as below:
                            async for files_below in below:
                                yield files_below
                    except PathNotFoundError:
                        continue  # emptied by somebody since it was listed
                if files:
                    yield files

    @abstractmethod
    async def delete(self, path: str) -> None:
        """Delete the file or directory at `path`, a directory with everything below it.

        `path` may be `/`, which itself stays, and so does what lies under `/.storagedriver`.
        Uploads in progress are not touched. Where a file and a directory share the name, both go.
        Directories that become empty disappear.

        Raises:
            PathNotFoundError: Nothing is there; never for `/`.
            PartialDeleteError: Some paths could not be deleted; the others are gone.
        """

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        """Delete files by path. Override where the store deletes many in one request."""
        deleted: list[str] = []
        missing: list[str] = []
        failed: dict[str, StorageDriverError] = {}
        for path in paths:
            try:
                await self.delete(path)
            except PathNotFoundError:
                missing.append(path)
            except StorageDriverError as error:
                failed[path] = error.stamp(self.name, "delete_many", path)
            else:
                deleted.append(path)
        return DeleteReport(tuple(deleted), tuple(missing), failed)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        """Move the file `source` to `target`, replacing a file there. The paths differ.

        Here by a copy through the client and a delete, which is what `move="client_copy"` says.
        Drivers with `file_and_directory_share_name` have to override it: a delete of the source
        would take the directory of that name along.

        Raises:
            PathNotFoundError: There is no file at `source`. The target is untouched.
            ConflictError: `target` is a directory, or lies under a file.
            AlreadyExistsError: `if_absent`, and there is an object at `target`.
        """
        if self.capabilities.file_and_directory_share_name:
            raise NotImplementedError(f"{type(self).__name__} shares names and has to move itself")
        info = await self.stat(source)
        if info.is_dir:
            raise PathNotFoundError("a directory is not a file", path=source)
        with suppress(PathNotFoundError):
            if (await self.stat(target)).is_dir:
                raise ConflictError("the target is a directory", path=target)
        options = PutOptions(
            content_type=info.content_type, metadata=info.metadata or {}, if_absent=if_absent
        )
        await self.put_content(target, await self.get_content(source), options)
        await self.delete(source)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        """Copy a file within the store, content type and metadata included. Needs `copy`.

        Raises as `move` does.
        """
        raise unsupported(self, "copy")

    async def checksum(self, path: str, algorithm: str) -> str:
        """Give the lower-case hex digest of the file, as the store computes or keeps it.

        Needs `algorithm` in `checksum_algorithms`.
        """
        raise unsupported(self, "checksum_algorithms")

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        """Give a URL at which a plain HTTP client can do `method` for the time `expires`.

        Needs `sign_get`, `sign_head` or `sign_put`. Whether something is at `path` is not looked
        up.

        Args:
            path: The file.
            method: What the URL is good for; `GET` and `HEAD` take `Range` as the store does.
            expires: From now on; rounded up to what the store can say, never longer than it allows.
            content_type: For `PUT` alone: the media type that the request has to carry, or is
                refused. Needs `sign_put_with_content_type`.

        Raises:
            LimitExceededError: The store signs for no such long time.
        """
        raise unsupported(self, f"sign_{method.lower()}")

    async def stored_name(self, path: str) -> str:
        """Give the name that the store itself has for the file, as in its own URLs.

        It has no slash in front. Sends nothing. Here the path; a driver with a root directory, or
        whose store has other names, overrides it.
        """
        return path.removeprefix("/")

    async def local_path(self, path: str) -> str:
        """Give a path at which the operating system can open the file. Needs `local_path`.

        Raises:
            PathNotFoundError: There is no file.
        """
        raise unsupported(self, "local_path")

    # Uploads: stateless calls over which the portable FileWriter is the one state machine ------

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        """Begin an upload for `path`. Nothing becomes visible. Needs `upload`.

        Returns:
            The upload, its `holder` and `options` as given.
        """
        raise unsupported(self, "upload")

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Store one part: the buffers of `data`, one after the other.

        Parts come in order and without a gap, unless `upload_out_of_order`. A part may come again
        with the same number and offset: the later bytes count. With `durable_parts` the part is
        durable when the call returns; otherwise only after `sync_upload`.

        Raises:
            UploadNotFoundError: The upload was aborted, completed or purged.
            ConflictError: Another holder has taken the upload over.
        """
        raise unsupported(self, "upload")

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        """Store a range of the file `source` as one part, at the store. Needs `copy_part`."""
        raise unsupported(self, "copy_part")

    async def sync_upload(self, upload: Upload) -> None:
        """Make durable every part that was put. Does nothing here, for stores where they are."""

    def release_upload(self, upload: Upload) -> None:
        """Let go of local resources (descriptors, locks) that `upload.holder` holds.

        Idempotent, and does not block: it is also called when a writer is lost to garbage
        collection. The upload itself stays. Does nothing here.
        """

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        """Find the upload again for a writer that resumes it, and take it over for its holder.

        Args:
            upload: From a token, with a new `holder`.
            size: Durable bytes by the token; what the store holds beyond may be dropped.

        Returns:
            The state. `size` is at least the given one, unless the upload is completed.

        Raises:
            UploadNotFoundError: The upload was aborted or purged; or has been completed, and its
                target was replaced or moved since (`outcome` is then `unknown`).
            ConflictError: Another writer holds it and cannot be dispossessed; or bytes below `size`
                are no longer those that this token promised, since an older one was resumed
                (`UploadCuts` tells, for stores that keep no ledger).
        """
        raise unsupported(self, "upload")

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        """Publish exactly `parts`, in their order, as one object. The caller releases the upload.

        Where no ledger is kept (`Capabilities.keeps_ledger`), `parts` is empty and the first
        `options.size` bytes are the object. Everywhere it is empty for an empty object, which a
        store that cannot make one of an upload puts instead.

        Atomic and durable as declared. May be repeated: where this very writer has already
        published the upload at the target, and it was not replaced or moved since, that object is
        returned. What another holder has published is not this writer's.

        Raises:
            UploadNotFoundError: The upload is gone (`outcome` is `unknown` where it may have been
                completed, also by another holder).
            AlreadyExistsError: `if_absent`, and there is an object. The upload stays.
            ConflictError: As in `put_content`; or another holder has taken the upload over.
        """
        raise unsupported(self, "upload")

    async def abort_upload(self, upload: Upload) -> None:
        """Drop the upload and, with `abort_frees`, its space; release it.

        A writer's own call may come after another one has taken the upload over, and drops it
        all the same. A purge has its uploads from a list, so their `holder` is empty; it must not
        drop one that was resumed since.

        Raises:
            UploadNotFoundError: There is no such upload.
            ConflictError: The upload's `holder` is empty, and a writer holds it; or it is held
                where it cannot be taken away, as in another process.
        """
        raise unsupported(self, "upload")

    def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        """Give every upload in progress, page by page, in any order. Needs `list_uploads`."""
        raise unsupported(self, "list_uploads")


def _is_passed(directory: str, after: str | None) -> bool:
    """Tell whether everything below `directory` sorts before `after`."""
    if after is None:
        return False
    prefix = child_prefix(directory)
    return prefix < after and not after.startswith(prefix)
