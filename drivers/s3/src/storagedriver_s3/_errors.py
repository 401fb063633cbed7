"""The one place where errors of the SDK and answers of the store become errors of the contract."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

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
    UnsupportedMethodError,
    UploadNotFoundError,
)

# Source: Amazon S3 API Reference, "Error responses", and the codes that the stores of the presets
# add to it. An answer to HEAD has no body: there the SDK gives the status in place of a code.
ERROR_TYPES: Mapping[str, type[StorageDriverError]] = {
    "NoSuchKey": PathNotFoundError,
    "404": PathNotFoundError,
    "NotFound": PathNotFoundError,
    "NoSuchUpload": UploadNotFoundError,
    "NoSuchBucket": ConfigurationError,
    "InvalidBucketName": ConfigurationError,
    "PermanentRedirect": ConfigurationError,
    "TemporaryRedirect": ConfigurationError,
    "IllegalLocationConstraintException": ConfigurationError,
    "AuthorizationHeaderMalformed": ConfigurationError,
    "AuthorizationQueryParametersError": ConfigurationError,
    "InvalidStorageClass": ConfigurationError,
    "InvalidEncryptionAlgorithmError": ConfigurationError,
    "AccessControlListNotSupported": ConfigurationError,
    "KMS.NotFoundException": ConfigurationError,
    "KMS.DisabledException": ConfigurationError,
    "InvalidAccessKeyId": AuthenticationError,
    "SignatureDoesNotMatch": AuthenticationError,
    "InvalidSecurity": AuthenticationError,
    "InvalidToken": AuthenticationError,
    "ExpiredToken": AuthenticationError,
    "TokenRefreshRequired": AuthenticationError,
    "RequestTimeTooSkewed": AuthenticationError,
    "CredentialsNotSupported": AuthenticationError,
    "Unauthorized": AuthenticationError,
    "401": AuthenticationError,
    "AccessDenied": PermissionDeniedError,
    "AllAccessDisabled": PermissionDeniedError,
    "AccountProblem": PermissionDeniedError,
    "InvalidPayer": PermissionDeniedError,
    "InvalidObjectState": PermissionDeniedError,
    "MethodNotAllowed": PermissionDeniedError,
    "Forbidden": PermissionDeniedError,
    "403": PermissionDeniedError,
    "PreconditionFailed": ConflictError,
    "ConditionalRequestConflict": ConflictError,
    "OperationAborted": ConflictError,
    "InvalidPart": ConflictError,
    "InvalidPartOrder": ConflictError,
    "NotModified": ConflictError,
    "ObjectAlreadyExists": AlreadyExistsError,
    "ExistingObjectIsDirectory": ConflictError,
    "ExistingObjectIsFile": ConflictError,
    "304": ConflictError,
    "409": ConflictError,
    "412": ConflictError,
    "InvalidRange": InvalidOffsetError,
    "416": InvalidOffsetError,
    "KeyTooLongError": InvalidPathError,
    "KeyTooLong": InvalidPathError,
    "InvalidURI": InvalidPathError,
    "EntityTooLarge": LimitExceededError,
    "EntityTooSmall": LimitExceededError,
    "MaxMessageLengthExceeded": LimitExceededError,
    "MetadataTooLarge": LimitExceededError,
    "RequestHeaderSectionTooLarge": LimitExceededError,
    "413": LimitExceededError,
    "QuotaExceeded": NoSpaceError,
    "InsufficientStorage": NoSpaceError,
    "NoSpaceLeftOnDevice": NoSpaceError,
    "StorageFull": NoSpaceError,
    "XMinioStorageFull": NoSpaceError,
    "XMinioAdminBucketQuotaExceeded": NoSpaceError,
    "507": NoSpaceError,
    "BadDigest": ChecksumMismatchError,
    "InvalidDigest": ChecksumMismatchError,
    "XAmzContentSHA256Mismatch": ChecksumMismatchError,
    "XAmzContentChecksumMismatch": ChecksumMismatchError,
    "IncompleteBody": UnavailableError,
    "RequestTimeout": UnavailableError,
    "408": UnavailableError,
    "InternalError": UnavailableError,
    "NotImplemented": UnsupportedMethodError,
    "501": UnsupportedMethodError,
    "SlowDown": ThrottledError,
    "SlowDownRead": ThrottledError,
    "SlowDownWrite": ThrottledError,
    "ServiceUnavailable": ThrottledError,
    "ServerBusy": ThrottledError,
    "Busy": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "TooManyRequests": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "BandwidthLimitExceeded": ThrottledError,
    "429": ThrottledError,
    "503": ThrottledError,
}

# What the SDK raises by itself, the first that fits. The flag: whether the request can have reached
# the store, so that a change may have been made.
SDK_ERROR_TYPES: Mapping[type[Exception], tuple[type[StorageDriverError], bool]] = {
    sdk.NoCredentialsError: (AuthenticationError, False),
    sdk.PartialCredentialsError: (AuthenticationError, False),
    sdk.CredentialRetrievalError: (AuthenticationError, False),
    sdk.TokenRetrievalError: (AuthenticationError, False),
    sdk.UnauthorizedSSOTokenError: (AuthenticationError, False),
    sdk.SSOError: (AuthenticationError, False),
    sdk.MetadataRetrievalError: (AuthenticationError, False),
    # What a program that is to give credentials has printed instead.
    json.JSONDecodeError: (AuthenticationError, False),
    sdk.UnknownCredentialError: (ConfigurationError, False),
    sdk.ProfileNotFound: (ConfigurationError, False),
    sdk.ConfigParseError: (ConfigurationError, False),
    sdk.ConfigNotFound: (ConfigurationError, False),
    sdk.InvalidConfigError: (ConfigurationError, False),
    sdk.NoRegionError: (ConfigurationError, False),
    sdk.InvalidRegionError: (ConfigurationError, False),
    sdk.EndpointProviderError: (ConfigurationError, False),
    sdk.ParamValidationError: (ConfigurationError, False),
    sdk.InvalidEndpointConfigurationError: (ConfigurationError, False),
    sdk.SSLError: (ConfigurationError, False),
    sdk.InvalidProxiesConfigError: (ConfigurationError, False),
    sdk.ConnectTimeoutError: (UnavailableError, False),
    sdk.ProxyConnectionError: (UnavailableError, False),
    sdk.ReadTimeoutError: (OperationTimeoutError, True),
    sdk.EndpointConnectionError: (UnavailableError, True),
    sdk.ConnectionClosedError: (UnavailableError, True),
    sdk.HTTPClientError: (UnavailableError, True),
    sdk.ResponseStreamingError: (UnavailableError, True),
    sdk.IncompleteReadError: (UnavailableError, True),
    sdk.FlexibleChecksumError: (ChecksumMismatchError, True),
    ResponseParserError: (UnavailableError, True),
    # What a request that goes directly raises.
    aiohttp.ClientSSLError: (ConfigurationError, False),
    aiohttp.ConnectionTimeoutError: (UnavailableError, False),
    aiohttp.ServerTimeoutError: (OperationTimeoutError, True),
    aiohttp.ClientError: (UnavailableError, True),
    asyncio.TimeoutError: (OperationTimeoutError, True),
    OSError: (UnavailableError, True),
}


def translate(error: Exception, *, changes: bool) -> StorageDriverError | None:
    """Give the error of the contract for one of the SDK or of aiohttp; None for what is a bug.

    Args:
        error: What a call of the SDK raised.
        changes: Whether the request was to change something: then a lost answer leaves it unknown.
    """
    if isinstance(error, sdk.ClientError):
        return _of_answer(error.response, changes=changes)
    for kind, (target, reached) in SDK_ERROR_TYPES.items():
        if isinstance(error, kind):
            made = target(_text(error))
            if changes and reached and not _never_connected(error):
                made.outcome = "unknown"
            return made
    if isinstance(error, sdk.BotoCoreError):
        return StorageDriverError(_text(error))
    return None


@contextmanager
def translating(*, changes: bool) -> Iterator[None]:
    """Raise as errors of the contract what the block raises; the argument is `translate`'s."""
    try:
        yield
    except StorageDriverError:
        raise  # several of them are OSErrors as well
    except Exception as error:
        made = translate(error, changes=changes)
        if made is None:
            raise
        raise made from error


def error_of(code: str, message: str) -> StorageDriverError:
    """Give the error for one key of an answer that tells of many."""
    return _of_answer({"Error": {"Code": code, "Message": message}}, changes=False)


def code_of(error: BaseException | None) -> str:
    """Give the code that the store answered with; empty where it did not."""
    cause = error.__cause__ if isinstance(error, StorageDriverError) else error
    if not isinstance(cause, sdk.ClientError):
        return ""
    code: str = cause.response.get("Error", {}).get("Code", "")
    return code


def _of_answer(response: Mapping[str, Any], *, changes: bool) -> StorageDriverError:
    fault = response.get("Error", {})
    code, message = str(fault.get("Code", "")), str(fault.get("Message", ""))
    metadata = response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    kind = ERROR_TYPES.get(code) or ERROR_TYPES.get(str(status))
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        kind = ThrottledError
    text = f"{code}: {message}" if message and message != code else code
    if kind is ThrottledError:
        headers = metadata.get("HTTPHeaders", {})
        return ThrottledError(text, retry_after=_seconds(headers.get("retry-after")))
    if kind is None and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = UnavailableError
    made = (kind or StorageDriverError)(text)
    if changes and isinstance(made, UnavailableError):
        # The store may have come to the end, and broken while it said so.
        made.outcome = "unknown"
    if code in ("ConditionalRequestConflict", "OperationAborted"):
        made.temporary = True
    return made


def _never_connected(error: Exception) -> bool:
    """Tell whether there was no connection that the request could have gone through."""
    behind = getattr(error, "kwargs", {}).get("error", error)
    return isinstance(behind, aiohttp.ClientConnectorError | ConnectionRefusedError)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _seconds(value: str | None) -> float | None:
    """Read `Retry-After`: seconds, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
