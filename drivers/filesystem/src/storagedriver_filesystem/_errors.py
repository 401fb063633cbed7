"""The one place where errors of the operating system become errors of the contract."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from storagedriver_core import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    InvalidPathError,
    LimitExceededError,
    NoSpaceError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    UnavailableError,
    UnsupportedMethodError,
)

# Source: the ERRORS sections of the manual pages of the system calls that the driver makes.
# What is not here (EBADF, EFAULT, EINVAL, ...) would be a bug of the driver.
ERROR_TYPES: dict[int, tuple[type[StorageDriverError], str]] = {
    errno.ENOENT: (PathNotFoundError, "not found"),
    errno.ENOTDIR: (PathNotFoundError, "a part of the path is a file"),
    errno.EISDIR: (PathNotFoundError, "a directory is not a file"),
    errno.ENXIO: (PathNotFoundError, "neither a file nor a directory"),
    errno.ENODEV: (PathNotFoundError, "neither a file nor a directory"),
    errno.EEXIST: (AlreadyExistsError, "already exists"),
    errno.ENOTEMPTY: (ConflictError, "the directory is not empty"),
    errno.EBUSY: (ConflictError, "in use by the system, as a mount point is"),
    errno.ETXTBSY: (ConflictError, "in use by the system"),
    errno.EACCES: (PermissionDeniedError, "permission denied"),
    errno.EPERM: (PermissionDeniedError, "not permitted"),
    errno.EROFS: (PermissionDeniedError, "the filesystem is read-only"),
    errno.ELOOP: (PermissionDeniedError, "symbolic links are not followed"),
    errno.ENAMETOOLONG: (InvalidPathError, "longer than the filesystem allows"),
    errno.EILSEQ: (InvalidPathError, "the filesystem does not take these characters"),
    errno.ENOSPC: (NoSpaceError, "no space left"),
    errno.EDQUOT: (NoSpaceError, "the quota is used up"),
    errno.EFBIG: (NoSpaceError, "larger than the filesystem or the process may write"),
    errno.EMLINK: (LimitExceededError, "the directory holds too many others"),
    errno.EXDEV: (ConfigurationError, "another filesystem is mounted below the root directory"),
    errno.EOPNOTSUPP: (UnsupportedMethodError, "the filesystem does not support it"),
    errno.ENOSYS: (UnsupportedMethodError, "the operating system does not support it"),
    errno.EIO: (UnavailableError, "input/output error"),
    errno.ESTALE: (UnavailableError, "stale file handle"),
    errno.ETIMEDOUT: (UnavailableError, "the file server does not answer"),
    errno.EAGAIN: (UnavailableError, "busy"),
    errno.EINTR: (UnavailableError, "interrupted"),
    errno.EMFILE: (UnavailableError, "too many open files in the process"),
    errno.ENFILE: (UnavailableError, "too many open files in the system"),
    errno.ENOMEM: (UnavailableError, "out of memory"),
    errno.ENOBUFS: (UnavailableError, "out of memory"),
    errno.ENOLCK: (UnavailableError, "no locks available"),
}

# What stands in the way of a write is not missing: it is there, and of the wrong kind.
WRITE_ERROR_TYPES: dict[int, tuple[type[StorageDriverError], str]] = {
    errno.ENOTDIR: (ConflictError, "a part of the path is a file"),
    errno.EISDIR: (ConflictError, "it is a directory"),
}


def translate(error: OSError, *, writing: bool, path: str = "") -> StorageDriverError:
    """Give the error of the contract for one of the operating system.

    Args:
        error: What a system call raised.
        writing: Whether it was to change `path`, rather than to look at it.
        path: Path for the new error; empty leaves it to the portable layer.
    """
    code = error.errno or 0
    found = (WRITE_ERROR_TYPES.get(code) if writing else None) or ERROR_TYPES.get(code)
    if found is None:
        text = os.strerror(code) if code else type(error).__name__
        return StorageDriverError(f"{errno.errorcode.get(code, code)}: {text}", path=path)
    kind, message = found
    return kind(message, path=path)


@contextmanager
def translating(*, writing: bool, path: str = "") -> Iterator[None]:
    """Raise as errors of the contract what the block raises; its arguments are `translate`'s."""
    try:
        yield
    except StorageDriverError:
        raise  # several of them are OSErrors as well
    except OSError as error:
        raise translate(error, writing=writing, path=path) from error
