"""Options and results of the contract: frozen, slotted, one per idea."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, TypeAlias

from storagedriver_core._errors import StorageDriverError

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Anything that holds bytes. Chunks that a driver hands out are `bytes`."""

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known of one file or directory.

    Attributes:
        path: Absolute path, as asked.
        size: Bytes; 0 for a directory. If `size` says N, N bytes can be read at once.
        mod_time: Aware UTC time of the last change, by the store's clock; None for a directory.
        is_dir: Whether this is a directory (a path that others lie under).
        etag: Opaque string that changes with every replacement; None where the store has none.
        content_type: Media type given at the write; None where not given or in a listing.
        metadata: User metadata given at the write; None in a listing.
    """

    path: str
    size: int = 0
    mod_time: datetime | None = None
    is_dir: bool = False
    etag: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Conditions of a read or stat; those given must all hold, or it is `ConflictError`.

    Attributes:
        if_match: The object's etag must be this one.
        if_none_match: The object's etag must not be this one.
        if_modified_since: The object must have changed after this aware time.
        if_unmodified_since: The object must not have changed after this aware time.
    """

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    def hold_for(self, info: FileInfo) -> bool:
        """Tell whether all conditions hold for `info`. For drivers whose store cannot check."""
        modified = info.mod_time
        return not (
            (self.if_match is not None and info.etag != self.if_match)
            or (self.if_none_match is not None and info.etag == self.if_none_match)
            or (
                self.if_modified_since is not None
                and modified is not None
                and modified <= self.if_modified_since
            )
            or (
                self.if_unmodified_since is not None
                and modified is not None
                and modified > self.if_unmodified_since
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Which bytes to read.

    Attributes:
        offset: First byte, never negative.
        length: Number of bytes; None means to the end. Cut at the end of the object.
        suffix: If given, the last `suffix` bytes instead of `offset` and `length`.
        conditions: Conditions that the object must meet; None for none.
    """

    offset: int = 0
    length: int | None = None
    suffix: int | None = None
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions:
    """How to write a whole object.

    Attributes:
        content_type: Media type to keep with the object.
        metadata: User metadata to keep with the object.
        if_absent: Refuse with `AlreadyExistsError` if there is an object.
        if_match: Refuse with `ConflictError` unless the object's etag is this one.
    """

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    if_absent: bool = False
    if_match: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """How to open an upload.

    Attributes:
        content_type: Media type to keep with the object.
        metadata: User metadata to keep with the object.
        part_size: Size in bytes of every part but the last, where parts must be equal.
    """

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    part_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteOptions:
    """How to publish an upload.

    Attributes:
        path: Where to publish. Other than the upload's path only with `late_target`.
        size: Sum of the parts in bytes.
        if_absent: Refuse with `AlreadyExistsError` if there is an object.
        digests: Lower-case hex digests of the whole object by algorithm, as far as the writer knows
            them; those that the driver wants (`wanted_digests`) unless the upload was begun by one
            that did not want them.
    """

    path: str
    size: int
    if_absent: bool = False
    digests: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What to list.

    Attributes:
        start_after: Only paths after this one in byte order, exclusive; None from the start.
        page_size: Entries that one page holds at most; a hint that a store may lower.
    """

    start_after: str | None = None
    page_size: int = 1000


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload in progress, as the stateless upload calls are given it.

    Attributes:
        path: Path that the upload was opened for.
        upload_id: Name of the upload in the store.
        data: What else the driver needs to find it again; strings only, kept in the token.
        holder: Names the writer that calls; differs for each `open_upload` and each resume, and
            is not in the token. Drivers that keep local resources or fence writers use it.
        options: As given to `open_upload`; kept in the token.
    """

    path: str
    upload_id: str
    data: Mapping[str, str] = field(default_factory=lambda: _EMPTY, repr=False)
    holder: str = field(default="", repr=False)
    options: UploadOptions = field(default=UploadOptions())


@dataclass(frozen=True, slots=True)
class Part:
    """One part that the store has taken.

    Attributes:
        number: Ordinal from 1.
        offset: Where the part begins in the object, in bytes.
        size: Bytes.
        etag: What the store needs to name this part at completion; may be empty.
    """

    number: int
    offset: int
    size: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class UploadState:
    """What the store knows of an upload when a writer resumes it.

    Attributes:
        size: Bytes from the start that the store holds without a gap.
        completed: The published object, if this very upload has been completed and its target
            neither replaced nor moved since; otherwise None.
        data: What takes the place of `Upload.data` in later tokens; None to keep it.
    """

    size: int
    completed: FileInfo | None = None
    data: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """One entry of the list of uploads in progress.

    Attributes:
        upload: The upload, as `abort_upload` takes it.
        started_at: Aware UTC time by the store's clock.
        updated_at: Aware UTC time of the last change that the store knows.
        size: Bytes stored so far; None where the store does not say.
        active: Whether a writer holds it now; False where the store cannot know.
    """

    upload: Upload
    started_at: datetime
    updated_at: datetime
    size: int | None = None
    active: bool = False


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """Result of `delete_many`.

    Attributes:
        deleted: Paths that are gone now because of this call.
        missing: Paths at which there was nothing.
        failed: The error of each path that was not deleted.
    """

    deleted: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failed: Mapping[str, StorageDriverError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OperationEvent:
    """One finished operation, as `storagedriver_observe_operation` is given it.

    Attributes:
        driver_name: Name of the driver.
        operation: Contract operation, such as `put_content`; `read` and `write` stand for the
            whole life of a stream.
        path: Path; empty where the operation has none.
        duration: Seconds.
        size: Bytes moved.
        error: What it raised, or None.
    """

    driver_name: str
    operation: str
    path: str
    duration: float
    size: int = 0
    error: BaseException | None = None


SignedMethod = Literal["GET", "HEAD", "PUT"]
