"""The one place where the service's and the client library's failures become the contract's errors.

A service's answer is judged by its error code (the header `x-ms-error-code`) and, where there is
none or an unknown one, by its status. 429 and 503 come first: they refuse, whatever they say.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import aiohttp
from azure.core import exceptions as azure

from storagedriver_core import (
    AlreadyExistsError,
    AuthenticationError,
    ChecksumMismatchError,
    ConfigurationError,
    ConflictError,
    InvalidOffsetError,
    InvalidPathError,
    LimitExceededError,
    NoSpaceError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
)

ErrorClass: TypeAlias = type[StorageDriverError]

# What a request of this driver can cause to be wrong with itself: never the caller's fault, and
# never better the next time.
_OURS = functools.partial(UnavailableError, temporary=False)

CODES: Mapping[str, Any] = {
    # Source: "Common REST API error codes".
    "AccountBeingCreated": UnavailableError,
    "AccountIsDisabled": PermissionDeniedError,
    "AuthenticationFailed": AuthenticationError,
    "AuthorizationFailure": PermissionDeniedError,
    "AuthorizationPermissionMismatch": PermissionDeniedError,
    "AuthorizationProtocolMismatch": PermissionDeniedError,
    "AuthorizationResourceTypeMismatch": PermissionDeniedError,
    "AuthorizationServiceMismatch": PermissionDeniedError,
    "AuthorizationSourceIPMismatch": PermissionDeniedError,
    "ConditionHeadersNotSupported": _OURS,
    "ConditionNotMet": ConflictError,
    "EmptyMetadataKey": ConfigurationError,
    "InsufficientAccountPermissions": PermissionDeniedError,
    "InternalError": UnavailableError,
    "InvalidAuthenticationInfo": AuthenticationError,
    "InvalidHeaderValue": _OURS,
    "InvalidHttpVerb": _OURS,
    "InvalidInput": _OURS,
    "InvalidMd5": ChecksumMismatchError,
    "InvalidMetadata": ConfigurationError,
    "InvalidQueryParameterValue": _OURS,
    "InvalidRange": InvalidOffsetError,
    "InvalidResourceName": InvalidPathError,
    "InvalidUri": InvalidPathError,
    "InvalidXmlDocument": _OURS,
    "InvalidXmlNodeValue": _OURS,
    "KeyBasedAuthenticationNotPermitted": PermissionDeniedError,
    "Md5Mismatch": ChecksumMismatchError,
    "MetadataTooLarge": LimitExceededError,
    "MissingContentLengthHeader": _OURS,
    "MissingRequiredHeader": _OURS,
    "MissingRequiredQueryParameter": _OURS,
    "MissingRequiredXmlNode": _OURS,
    "MultipleConditionHeadersNotSupported": _OURS,
    "NoAuthenticationInformation": AuthenticationError,
    "OperationTimedOut": OperationTimeoutError,
    "OutOfRangeInput": InvalidPathError,
    "OutOfRangeQueryParameterValue": _OURS,
    "PublicAccessNotPermitted": PermissionDeniedError,
    "RequestBodyTooLarge": LimitExceededError,
    "RequestUrlFailedToParse": InvalidPathError,
    "ResourceAlreadyExists": AlreadyExistsError,
    "ResourceNotFound": PathNotFoundError,
    "ResourceTypeMismatch": ConflictError,
    "ServerBusy": ThrottledError,
    "UnsupportedHeader": _OURS,
    "UnsupportedHttpVerb": _OURS,
    "UnsupportedQueryParameter": _OURS,
    "UnsupportedXmlNode": _OURS,
    # Source: "Blob Storage error codes".
    "BlobAlreadyExists": AlreadyExistsError,
    "BlobArchived": ConflictError,
    "BlobBeingRehydrated": ConflictError,
    "BlobImmutableDueToPolicy": PermissionDeniedError,
    "BlobNotArchived": ConflictError,
    "BlobNotFound": PathNotFoundError,
    "BlobOverwritten": ConflictError,
    "BlockCountExceedsLimit": LimitExceededError,
    "BlockListTooLong": LimitExceededError,
    # The source vanished, or may not be read.
    "CannotVerifyCopySource": PathNotFoundError,
    "ContainerAlreadyExists": AlreadyExistsError,
    "ContainerBeingDeleted": ConfigurationError,
    "ContainerDisabled": ConfigurationError,
    "ContainerNotFound": ConfigurationError,
    "CopyIdMismatch": ConflictError,
    "FeatureVersionMismatch": ConflictError,
    "InvalidBlobOrBlock": ConflictError,
    "InvalidBlobType": ConflictError,
    "InvalidBlockId": _OURS,
    "InvalidBlockList": ConflictError,
    "InvalidMarker": ConflictError,
    "InvalidOperation": ConflictError,
    "InvalidSourceBlobType": ConflictError,
    "InvalidSourceBlobUrl": _OURS,
    "LeaseAlreadyBroken": ConflictError,
    "LeaseAlreadyPresent": ConflictError,
    "LeaseIdMismatchWithBlobOperation": ConflictError,
    "LeaseIdMismatchWithContainerOperation": ConflictError,
    "LeaseIdMissing": ConflictError,
    "LeaseLost": ConflictError,
    "LeaseNotPresentWithBlobOperation": ConflictError,
    "LeaseNotPresentWithContainerOperation": ConflictError,
    "NoPendingCopyOperation": ConflictError,
    "PendingCopyOperation": ConflictError,
    "SnapshotCountExceeded": LimitExceededError,
    "SnapshotsPresent": ConflictError,
    "SourceConditionNotMet": ConflictError,
    "SystemInUse": ConflictError,
    "TargetConditionNotMet": ConflictError,
    "UnauthorizedBlobOverwrite": PermissionDeniedError,
}
"""Error codes of the service: what can come from the requests that this driver makes."""

STATUSES: Mapping[int, Any] = {
    304: ConflictError,
    400: _OURS,
    401: AuthenticationError,
    403: PermissionDeniedError,
    408: OperationTimeoutError,
    # Without a code it is not the service that says so.
    404: _OURS,
    409: ConflictError,
    411: _OURS,
    412: ConflictError,
    413: LimitExceededError,
    416: InvalidOffsetError,
    507: NoSpaceError,
}
"""What an answer without a known code means; any other is `UnavailableError`."""


def from_answer(
    status: int, headers: Mapping[str, str], *, changes: bool = False
) -> StorageDriverError:
    """Translate an answer of the service that is none of those expected.

    Args:
        status: HTTP status.
        headers: The answer's, by names in any case.
        changes: Whether the request was to change something.
    """
    code = headers.get("x-ms-error-code", "")
    told = f"status {status} {code}".rstrip()
    if request_id := headers.get("x-ms-request-id"):
        told = f"{told}, request {request_id}"
    if status in (429, 503):
        return ThrottledError(told, retry_after=_retry_after(headers))
    error: StorageDriverError = (CODES.get(code) or STATUSES.get(status) or UnavailableError)(told)
    # A success that was not expected is not the service's: what it did is not known.
    if changes and (status >= 500 or status < 300) and not isinstance(error, NoSpaceError):
        error.outcome = "unknown"
    return error


def from_failure(failure: Exception, *, changes: bool = False) -> StorageDriverError:
    """Translate what the HTTP client or the SDK's credentials raise.

    Args:
        failure: One of `FAILURES`.
        changes: Whether the request was to change something.
    """
    kind = type(failure).__name__
    if isinstance(failure, azure.ClientAuthenticationError):
        # The SDK's message lists what it tried; it holds no secret, but may hold much text.
        return AuthenticationError(f"no credential could be had ({kind})")
    if isinstance(failure, azure.AzureError):
        if isinstance(failure, azure.HttpResponseError) and failure.status_code:
            return from_answer(failure.status_code, failure.response.headers)  # type: ignore[union-attr]  # it has a status
        return UnavailableError(f"the identity's service: {kind}")
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return OperationTimeoutError("the service could not be reached in time")
    if isinstance(failure, aiohttp.ClientConnectorError):
        return UnavailableError(f"the service cannot be reached: {failure.strerror or kind}")
    lost: StorageDriverError
    if isinstance(failure, asyncio.TimeoutError):
        lost = OperationTimeoutError("the service did not answer in time")
    else:
        lost = UnavailableError(f"the connection was lost ({kind})")
    if changes:
        lost.outcome = "unknown"
    return lost


FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, azure.AzureError, OSError)
"""What a request can raise apart from a programming error."""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Give the seconds of `Retry-After`, which may be a date."""
    for name, unit in (("retry-after", 1.0), ("x-ms-retry-after-ms", 0.001)):
        text = headers.get(name, "").strip()
        if text.isdecimal():
            return float(text) * unit
        if text:
            try:
                when = parsedate_to_datetime(text)
            except ValueError:
                continue
            return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return None
