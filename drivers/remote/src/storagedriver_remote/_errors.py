"""Errors as JSON, and what an answer without a word of the protocol means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import storagedriver_core
from storagedriver_core import (
    AuthenticationError,
    ClosedError,
    InvalidOffsetError,
    Outcome,
    PartialDeleteError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UnsupportedMethodError,
)

_KINDS: Mapping[str, type[StorageDriverError]] = {
    name: kind
    for name in storagedriver_core.__all__
    if isinstance(kind := getattr(storagedriver_core, name), type)
    and issubclass(kind, StorageDriverError)
}

_STATUSES = {
    "PathNotFoundError": 404,
    "UploadNotFoundError": 404,
    "InvalidPathError": 400,
    "InvalidOffsetError": 416,
    "UnsupportedMethodError": 501,
    "AlreadyExistsError": 409,
    "ConflictError": 409,
    "LimitExceededError": 413,
    "NoSpaceError": 507,
    "PermissionDeniedError": 403,
    "AuthenticationError": 401,
    "ThrottledError": 429,
    "OperationTimeoutError": 504,
    "UnavailableError": 503,
    "ChecksumMismatchError": 422,
    "ConfigurationError": 400,
}


def status_of(error: StorageDriverError) -> int:
    """Give the status for people and proxies; drivers go by the body."""
    return _STATUSES.get(type(error).__name__, 500)


def error_json(error: StorageDriverError) -> dict[str, Any]:
    """Spell an error. The driver's name is not told: who called has a name of his own for it."""
    known: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message,
        "operation": error.operation,
        "path": error.path,
        "temporary": error.temporary,
        "outcome": error.outcome,
    }
    match error:
        case InvalidOffsetError():
            known |= {"offset": error.offset, "durable_offset": error.durable_offset}
        case UnsupportedMethodError():
            known["capability"] = error.capability
        case ThrottledError():
            known["retry_after"] = error.retry_after
        case PartialDeleteError():
            failures = error.failures.items()
            known["failures"] = {path: error_json(each) for path, each in failures}
    return {key: value for key, value in known.items() if value not in (None, "")}


def error_from(value: Mapping[str, Any]) -> StorageDriverError:
    """Read an error; a type that is not known is the root of the tree.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise ValueError("not an error")
    error = _KINDS.get(value["type"], StorageDriverError)(str(value.get("message", "")))
    error.operation = str(value.get("operation", ""))
    error.path = str(value.get("path", ""))
    if isinstance(value.get("temporary"), bool):
        error.temporary = value["temporary"]
    if value.get("outcome") in ("none", "applied", "unknown"):
        error.outcome = cast(Outcome, value["outcome"])
    match error:
        case InvalidOffsetError():
            error.offset = int(value.get("offset", 0))
            error.durable_offset = value.get("durable_offset")
        case UnsupportedMethodError():
            error.capability = str(value.get("capability", ""))
        case ThrottledError():
            error.retry_after = value.get("retry_after")
        case PartialDeleteError():
            failures = value.get("failures", {}).items()
            error.failures = {str(path): error_from(each) for path, each in failures}
        case ClosedError():
            # The other side is going; here nobody has closed anything.
            error = UnavailableError(error.message, outcome=error.outcome)
    return error


def error_of_status(
    status: int, headers: Mapping[str, str], outcome: Outcome
) -> StorageDriverError:
    """Give the error of an answer that is not the protocol's: a proxy's, or a page."""
    match status:
        case 401:
            return AuthenticationError("the server wants another token")
        case 403:
            return PermissionDeniedError("the server refuses")
        case 429 | 503:
            return ThrottledError(retry_after=_seconds(headers), outcome=outcome)
    return UnavailableError(f"not the server's answer, of status {status}", outcome=outcome)


def _seconds(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
