"""The one place where errors of filesystems become errors of the contract.

Nothing of a foreign message is repeated: it may hold an address with a password in it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

from storagedriver_core import (
    AlreadyExistsError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    InvalidPathError,
    LimitExceededError,
    NoSpaceError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UnsupportedMethodError,
)

P = ParamSpec("P")
T = TypeVar("T")
Kind: TypeAlias = tuple[type[StorageDriverError], str]


class RefusedError(StorageDriverError):
    """The server says no and not why, as SFTP's code 4 does: somebody has to look."""

    default_message = "the server refuses, and does not say why"


class NotDurableError(StorageDriverError):
    """A sync failed. It tells of that once: a second one would succeed over what is not there."""

    default_message = "what was written since the last token may be lost"


# Source: the ERRORS sections of the manual pages of the system calls. What is not here would be a
# bug of the filesystem.
ERRNO_TYPES: dict[int, Kind] = {
    errno.ENOENT: (PathNotFoundError, "not found"),
    errno.ENOTDIR: (PathNotFoundError, "a part of the path is a file"),
    errno.EISDIR: (PathNotFoundError, "a directory is not a file"),
    errno.ENXIO: (PathNotFoundError, "neither a file nor a directory"),
    errno.EEXIST: (AlreadyExistsError, "already exists"),
    errno.ENOTEMPTY: (ConflictError, "the directory is not empty"),
    errno.EBUSY: (ConflictError, "in use by the system"),
    errno.EACCES: (PermissionDeniedError, "permission denied"),
    errno.EPERM: (PermissionDeniedError, "not permitted"),
    errno.EROFS: (PermissionDeniedError, "the filesystem is read-only"),
    errno.ELOOP: (PermissionDeniedError, "too many symbolic links"),
    errno.ENAMETOOLONG: (InvalidPathError, "longer than the filesystem allows"),
    errno.EINVAL: (InvalidPathError, "the filesystem does not take the name"),
    errno.EILSEQ: (InvalidPathError, "the filesystem does not take these characters"),
    errno.ENOSPC: (NoSpaceError, "no space left"),
    errno.EDQUOT: (NoSpaceError, "the quota is used up"),
    errno.EFBIG: (NoSpaceError, "larger than the filesystem or the process may write"),
    errno.EMLINK: (LimitExceededError, "the directory holds too many others"),
    errno.EXDEV: (ConfigurationError, "another filesystem is mounted below the root directory"),
    errno.EOPNOTSUPP: (UnsupportedMethodError, "the filesystem does not support it"),
    errno.ENOSYS: (UnsupportedMethodError, "the operating system does not support it"),
    errno.ETIMEDOUT: (OperationTimeoutError, "the server does not answer"),
    errno.EIO: (UnavailableError, "input/output error"),
    errno.ESTALE: (UnavailableError, "stale file handle"),
    errno.EAGAIN: (UnavailableError, "busy"),
    errno.EINTR: (UnavailableError, "interrupted"),
    errno.EMFILE: (UnavailableError, "too many open files in the process"),
    errno.ENFILE: (UnavailableError, "too many open files in the system"),
    errno.ENOMEM: (UnavailableError, "out of memory"),
    errno.ECONNREFUSED: (UnavailableError, "the server refuses the connection"),
    errno.ECONNRESET: (UnavailableError, "the connection was reset"),
    errno.ECONNABORTED: (UnavailableError, "the connection was aborted"),
    errno.EPIPE: (UnavailableError, "the connection is gone"),
    errno.ENETUNREACH: (UnavailableError, "the network cannot be reached"),
    errno.EHOSTUNREACH: (UnavailableError, "the server cannot be reached"),
}

# What stands in the way of a write is not missing: it is there, and of the wrong kind.
WRITE_ERRNO_TYPES: dict[int, Kind] = {
    errno.ENOTDIR: (ConflictError, "a part of the path is a file"),
    errno.EISDIR: (ConflictError, "it is a directory"),
}

# Source: RFC 9110, "Status Codes"; RFC 4918, "Status Code Extensions to HTTP/1.1".
STATUS_TYPES: dict[int, Kind] = {
    400: (InvalidPathError, "the server does not take the request"),
    401: (AuthenticationError, "the server does not know the credentials"),
    403: (PermissionDeniedError, "the server forbids it"),
    404: (PathNotFoundError, "not found"),
    405: (UnsupportedMethodError, "the server does not do this here"),
    409: (ConflictError, "the server sees a conflict"),
    410: (PathNotFoundError, "gone"),
    412: (AlreadyExistsError, "already exists"),
    413: (LimitExceededError, "more than the server takes"),
    414: (InvalidPathError, "longer than the server takes"),
    423: (ConflictError, "locked"),
    429: (ThrottledError, "the server asks to slow down"),
    501: (UnsupportedMethodError, "the server does not do this"),
    503: (ThrottledError, "the server asks to slow down"),
    507: (NoSpaceError, "no space left"),
}

_NO_CONNECTION = (
    "ConnectError",
    "ConnectTimeout",
    "ConnectTimeoutError",
    "EndpointConnectionError",
    "NoValidConnectionsError",
    "gaierror",
)

# By package and name of the class, so that nothing is imported. A class counts for those below it.
CLASS_TYPES: dict[tuple[str, str], Kind] = {
    ("builtins", "FileNotFoundError"): (PathNotFoundError, "not found"),
    ("builtins", "FileExistsError"): (AlreadyExistsError, "already exists"),
    ("builtins", "IsADirectoryError"): (PathNotFoundError, "a directory is not a file"),
    ("builtins", "NotADirectoryError"): (PathNotFoundError, "a part of the path is a file"),
    ("builtins", "PermissionError"): (PermissionDeniedError, "permission denied"),
    ("builtins", "TimeoutError"): (OperationTimeoutError, "the server does not answer"),
    ("builtins", "ConnectionError"): (UnavailableError, "the connection is gone"),
    ("builtins", "EOFError"): (UnavailableError, "the connection is gone"),
    ("builtins", "NotImplementedError"): (UnsupportedMethodError, "the filesystem lacks it"),
    ("socket", "gaierror"): (UnavailableError, "the server's name is not known"),
    ("ssl", "SSLCertVerificationError"): (ConfigurationError, "the server's certificate is wrong"),
    ("paramiko", "AuthenticationException"): (AuthenticationError, "the server refuses the login"),
    ("paramiko", "BadHostKeyException"): (ConfigurationError, "the server has another host key"),
    ("paramiko", "UnknownKeyType"): (ConfigurationError, "the key is of an unknown kind"),
    ("paramiko", "NoValidConnectionsError"): (UnavailableError, "the server cannot be reached"),
    ("paramiko", "SSHException"): (UnavailableError, "the SSH connection is gone"),
    ("paramiko", "SFTPError"): (UnavailableError, "the SFTP session is gone"),
    ("httpx", "TimeoutException"): (OperationTimeoutError, "the server does not answer"),
    ("httpx", "TransportError"): (UnavailableError, "the server cannot be reached"),
    ("httpx", "StreamError"): (UnavailableError, "the body was lost"),
    ("aiohttp", "ClientError"): (UnavailableError, "the server cannot be reached"),
    ("botocore", "ConnectionError"): (UnavailableError, "the server cannot be reached"),
    ("botocore", "HTTPClientError"): (UnavailableError, "the server cannot be reached"),
    ("botocore", "NoCredentialsError"): (AuthenticationError, "there are no credentials"),
    ("ftplib", "error_perm"): (RefusedError, ""),
    ("ftplib", "Error"): (UnavailableError, "the server answers with an error"),
}

WRITE_CLASS_TYPES: dict[tuple[str, str], Kind] = {
    ("builtins", "IsADirectoryError"): (ConflictError, "it is a directory"),
    ("builtins", "NotADirectoryError"): (ConflictError, "a part of the path is a file"),
}


def translate(
    error: BaseException, *, writing: bool = False, changing: bool = False, path: str = ""
) -> StorageDriverError:
    """Give the error of the contract for one of a filesystem.

    Args:
        error: What its method raised.
        writing: Whether it was to change something, rather than to look at it.
        changing: Whether what it changes can be seen, so that a lost reply leaves it unknown.
        path: Path for the new error; empty leaves it to the portable layer.
    """
    kind, message = _find(error, writing)
    found = kind(message, path=path)
    if changing and isinstance(found, UnavailableError | OperationTimeoutError):
        found.outcome = "none" if _never_arrived(error) else "unknown"
    return found


def from_status(
    status: int, *, changing: bool = False, retry_after: str = ""
) -> StorageDriverError:
    """Give the error of the contract for an HTTP status of 400 and more."""
    kind, message = STATUS_TYPES.get(status, (None, ""))
    if kind is ThrottledError:
        seconds = float(retry_after) if retry_after.isdecimal() else None
        return ThrottledError(message, retry_after=seconds)
    if kind is not None:
        return kind(message)
    if status >= 500:
        failed = UnavailableError(f"the server answers {status}")
        failed.outcome = "unknown" if changing else "none"
        return failed
    return StorageDriverError(f"the server answers {status}")


@contextmanager
def translating(*, writing: bool = False, changing: bool = False, path: str = "") -> Iterator[None]:
    """Raise as errors of the contract what the block raises; its arguments are `translate`'s."""
    try:
        yield
    except StorageDriverError:
        raise  # several of them are OSErrors as well
    except Exception as error:
        raise translate(error, writing=writing, changing=changing, path=path) from error


def translated(
    *, writing: bool = False, changing: bool = False
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Make a method raise errors of the contract; its arguments are `translate`'s."""

    def decorate(
        method: Callable[P, Coroutine[Any, Any, T]],
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(method)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with translating(writing=writing, changing=changing):
                return await method(*args, **kwargs)

        return call

    return decorate


def _find(error: BaseException, writing: bool) -> Kind:
    if isinstance(error, OSError) and error.errno in ERRNO_TYPES:
        return (writing and WRITE_ERRNO_TYPES.get(error.errno)) or ERRNO_TYPES[error.errno]
    for cls in type(error).__mro__:
        name = (cls.__module__.partition(".")[0], cls.__name__)
        if writing and name in WRITE_CLASS_TYPES:
            return WRITE_CLASS_TYPES[name]
        if name in CLASS_TYPES:
            return CLASS_TYPES[name]
    if type(error) is OSError and error.errno is None:
        return RefusedError, ""
    return StorageDriverError, f"the filesystem raised {type(error).__name__}"


def _never_arrived(error: BaseException) -> bool:
    """Tell whether no connection was made, so that nothing can have been done."""
    refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
    return refused or type(error).__name__ in _NO_CONNECTION
