"""What is known of a file: its status, and the attributes that were given at the write."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from storagedriver_core import (
    FileInfo,
    LimitExceededError,
    NoSpaceError,
    PathNotFoundError,
    UnsupportedMethodError,
    UploadCuts,
)

ATTRIBUTES = "user.storagedriver.attributes"
"""Extended attribute: content type and user metadata, as JSON."""

UPLOAD_MARK = "user.storagedriver.upload"
UPLOAD_CUTS = "user.storagedriver.cuts"
"""Extended attribute: the upload that made the file."""

_CLOCK_TICK_NS = 10_000_000


def utc(nanoseconds: int) -> datetime:
    """Give an aware time for nanoseconds since the epoch."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def etag_of(status: os.stat_result) -> str:
    """Give what changes with every replacement: `set_unique_time` sees to it."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def file_info(path: str, status: os.stat_result) -> FileInfo:
    """Tell of a file or directory, as a listing does."""
    if stat.S_ISDIR(status.st_mode):
        return FileInfo(path, is_dir=True)
    if not stat.S_ISREG(status.st_mode):
        raise PathNotFoundError("neither a file nor a directory")
    return FileInfo(path, status.st_size, utc(status.st_mtime_ns), etag=etag_of(status))


def full_info(path: str, fd: int) -> FileInfo:
    """Tell of an open file or directory, as `stat` does."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return file_info(path, status)
    return written_info(path, status, *read_attributes(fd))


def written_info(
    path: str, status: os.stat_result, content_type: str | None, metadata: Mapping[str, str]
) -> FileInfo:
    """Tell of a file whose attributes are known, as `stat` does."""
    return FileInfo(
        path,
        status.st_size,
        utc(status.st_mtime_ns),
        etag=etag_of(status),
        content_type=content_type,
        metadata=metadata,
    )


def set_unique_time(fd: int) -> os.stat_result:
    """Make the modification time of a new file its own, and give its status.

    A filesystem's clock may tick only every few milliseconds, and an inode's number comes again;
    so two versions of an object could look the same. The time stays that of the filesystem (on a
    file server another clock than ours), but the digits below its tick are ours.
    """
    rough = os.fstat(fd).st_mtime_ns
    unique = rough + (time.time_ns() - rough) % _CLOCK_TICK_NS
    os.utime(fd, ns=(unique, unique))
    # Asked again, since a filesystem may keep fewer digits.
    return os.fstat(fd)


def write_attributes(fd: int, content_type: str | None, metadata: Mapping[str, str]) -> None:
    """Keep content type and metadata with an open file; no call where there are none."""
    if content_type is None and not metadata:
        return
    document = {"content_type": content_type, "metadata": dict(metadata)}
    write_raw_attributes(fd, json.dumps(document, separators=(",", ":")).encode())


def read_attributes(fd: int) -> tuple[str | None, Mapping[str, str]]:
    """Give content type and metadata of an open file."""
    raw = read_raw_attributes(fd)
    if raw is None:
        return None, {}
    document = json.loads(raw)
    return document["content_type"], document["metadata"]


def write_raw_attributes(fd: int, value: bytes) -> None:
    """Keep what `read_raw_attributes` gave.

    Raises:
        UnsupportedMethodError: The filesystem has no extended attributes.
        LimitExceededError: It has, but not for so many bytes.
    """
    try:
        os.setxattr(fd, ATTRIBUTES, value)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise UnsupportedMethodError(capability="put_with_metadata") from error
        if error.errno not in (errno.E2BIG, errno.ENOSPC, errno.ERANGE):
            raise
        # ext4 says ENOSPC of an attribute that does not fit in its one block, too.
        if error.errno == errno.ENOSPC and os.statvfs(fd).f_bavail == 0:
            raise NoSpaceError from error
        raise LimitExceededError("the filesystem does not keep so much metadata") from error


def read_raw_attributes(fd: int) -> bytes | None:
    """Give the attributes as stored; one system call for a file that has none."""
    try:
        return os.getxattr(fd, ATTRIBUTES) if ATTRIBUTES in os.listxattr(fd) else None
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENODATA):
            return None
        raise


def write_upload_mark(fd: int, mark: str) -> bool:
    """Mark the file as one upload's own; False where the filesystem cannot."""
    return _write_note(fd, UPLOAD_MARK, mark)


def read_upload_mark(fd: int) -> str:
    """Give the mark; empty if there is none."""
    return _read_note(fd, UPLOAD_MARK)


def write_cuts(fd: int, cuts: UploadCuts) -> None:
    """Keep the cuts of an upload with its file, where the filesystem keeps attributes at all.

    Raises:
        NoSpaceError: It does, but there is no room.
    """
    if not _write_note(fd, UPLOAD_CUTS, cuts.to_text()) and read_upload_mark(fd):
        raise NoSpaceError("no room to note what was cut off")


def read_cuts(fd: int) -> UploadCuts:
    """Give the cuts of an upload."""
    return UploadCuts.from_text(_read_note(fd, UPLOAD_CUTS))


def _write_note(fd: int, name: str, text: str) -> bool:
    try:
        os.setxattr(fd, name, text.encode())
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSPC, errno.E2BIG):
            return False
        raise
    return True


def _read_note(fd: int, name: str) -> str:
    try:
        return os.getxattr(fd, name).decode()
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENODATA):
            return ""
        raise
