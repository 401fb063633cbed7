"""Errors that clients are told, and where every error of the layers below becomes one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from storagedriver_core import (
    ClosedError,
    InvalidPathError,
    NoSpaceError,
    StorageDriverError,
    ThrottledError,
)
from storagedriver_registry.api.codes import (
    BLOB_UNKNOWN,
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    MANIFEST_UNKNOWN,
    NAME_INVALID,
    NAME_UNKNOWN,
    SIZE_INVALID,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNKNOWN,
)
from storagedriver_registry.api.descriptors import ErrorCode
from storagedriver_registry.auth import AccessCheckError, ChallengeError
from storagedriver_registry.storage.errors import (
    BlobUnknownError,
    BodyInterruptedError,
    DigestMismatchError,
    ManifestUnknownError,
    NameUnknownError,
    RegistryError,
    TagUnknownError,
    UnknownError,
    UploadBusyError,
    UploadUnknownError,
)

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5

_OF_REGISTRY: Mapping[type[RegistryError], ErrorCode] = {
    BlobUnknownError: BLOB_UNKNOWN,
    ManifestUnknownError: MANIFEST_UNKNOWN,
    NameUnknownError: NAME_UNKNOWN,
    TagUnknownError: MANIFEST_UNKNOWN,
    UploadUnknownError: BLOB_UPLOAD_UNKNOWN,
    DigestMismatchError: DIGEST_INVALID,
}


class ApiError(Exception):
    """An error that the client is told.

    Attributes:
        code: Its entry in the catalogue.
        detail: What it is about, as JSON.
        status: The HTTP status.
        headers: Headers of the answer.
        others: More errors of the same request.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: Any = None,
        *,
        message: str = "",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        others: tuple[ApiError, ...] = (),
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.detail = detail
        self.message = message or code.message
        self.status = status or code.status
        self.headers = dict(headers or {})
        self.others = others

    def body(self) -> bytes:
        """Give the error body, in the form of the specification."""
        errors = [
            {"code": error.code.value, "message": error.message, "detail": error.detail}
            for error in (self, *self.others)
        ]
        return json.dumps({"errors": errors}).encode()


def to_api_error(error: Exception) -> ApiError:
    """Give what the client is told about an error; what it is not told is logged."""
    match error:
        case ApiError():
            return error
        case ChallengeError():
            return _unauthorized(error)
        case AccessCheckError() if error.temporary:
            logger.warning("access cannot be checked now: %s", error)
            return ApiError(UNAVAILABLE, headers={"retry-after": str(_RETRY_SECONDS)})
        case AccessCheckError():
            # As distribution answers where its controller fails.
            logger.error("access cannot be checked: %s", error)
            return ApiError(UNKNOWN, message="access cannot be checked", status=400)
        case UnknownError():
            return ApiError(_OF_REGISTRY[type(error)], error.subject)
        case UploadBusyError():
            # Not 416: the offset may be right. Who asks again after a while will see.
            message = "another request is at work on the upload"
            return ApiError(BLOB_UPLOAD_INVALID, message=message, status=409)
        case BodyInterruptedError():
            return ApiError(SIZE_INVALID)
        case RegistryError():
            return ApiError(_OF_REGISTRY[type(error)])
        case StorageDriverError():
            return _of_storage(error)
    logger.error("a request failed", exc_info=error)
    return ApiError(UNKNOWN)


def _unauthorized(error: ChallengeError) -> ApiError:
    # None, not an empty list, for the base resource: so it is on distribution's wire.
    needed = [
        {"Type": access.type, "Class": "", "Name": access.name, "Action": access.action}
        for access in error.accesses
    ] or None
    return ApiError(UNAUTHORIZED, needed, headers={"www-authenticate": error.challenge})


def _of_storage(error: StorageDriverError) -> ApiError:
    if isinstance(error, InvalidPathError):
        # What distribution allows a name may still be too long for the store.
        return ApiError(NAME_INVALID)
    if isinstance(error, ThrottledError):
        seconds = _RETRY_SECONDS if error.retry_after is None else max(1, round(error.retry_after))
        return _unavailable(error, seconds)
    # A closed storage is one of a server that ends.
    if error.temporary or isinstance(error, ClosedError):
        return _unavailable(error, _RETRY_SECONDS)
    logger.error("the storage failed: %s", error, exc_info=error)
    if isinstance(error, NoSpaceError):
        return ApiError(UNKNOWN, message="no space left", status=507)
    return ApiError(UNKNOWN)


def _unavailable(error: StorageDriverError, seconds: int) -> ApiError:
    logger.warning("the storage is unavailable: %s", error)
    return ApiError(UNAVAILABLE, headers={"retry-after": str(seconds)})
