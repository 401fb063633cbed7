"""The catalogue of errors: every code that a client can be told.

Codes, messages and statuses are docker/distribution's, which are the specification's where that has
them. Source: distribution-spec, "Error Codes"; distribution's SPEC, "Errors".
"""

from __future__ import annotations

from storagedriver_registry.api.descriptors import ErrorCode

BLOB_UNKNOWN = ErrorCode(
    "BLOB_UNKNOWN",
    404,
    "blob unknown to registry",
    "The repository does not have the blob, whoever else does.",
)
BLOB_UPLOAD_INVALID = ErrorCode(
    "BLOB_UPLOAD_INVALID",
    404,
    "blob upload invalid",
    "The upload cannot be worked on now: another request is at work on it.",
)
BLOB_UPLOAD_UNKNOWN = ErrorCode(
    "BLOB_UPLOAD_UNKNOWN",
    404,
    "blob upload unknown to registry",
    "The upload never began, is over, or is another server's.",
)
DENIED = ErrorCode(
    "DENIED",
    403,
    "requested access to the resource is denied",
    "The registry that this one is a proxy of refuses it.",
)
DIGEST_INVALID = ErrorCode(
    "DIGEST_INVALID",
    400,
    "provided digest did not match uploaded content",
    "The digest is malformed, of an unknown algorithm, missing, or not that of the content.",
)
MANIFEST_BLOB_UNKNOWN = ErrorCode(
    "MANIFEST_BLOB_UNKNOWN",
    400,
    "blob unknown to registry",
    "The manifest names a blob or a manifest that the repository does not have; once for each.",
)
MANIFEST_INVALID = ErrorCode(
    "MANIFEST_INVALID",
    400,
    "manifest invalid",
    "The manifest is malformed, ambiguous, or not what its media type says.",
)
MANIFEST_UNKNOWN = ErrorCode(
    "MANIFEST_UNKNOWN",
    404,
    "manifest unknown",
    "The repository has no manifest of this digest, or no such tag.",
)
NAME_INVALID = ErrorCode(
    "NAME_INVALID",
    400,
    "invalid repository name",
    "The name of the repository is malformed, or longer than the store can have it.",
)
NAME_UNKNOWN = ErrorCode(
    "NAME_UNKNOWN",
    404,
    "repository name not known to registry",
    "There is no such repository.",
)
PAGINATION_NUMBER_INVALID = ErrorCode(
    "PAGINATION_NUMBER_INVALID",
    400,
    "invalid number of results requested",
    "`n` is no number, is negative, or is more than the registry gives.",
)
RANGE_INVALID = ErrorCode(
    "RANGE_INVALID",
    416,
    "invalid content range",
    "The range is not in the blob, or the chunk does not go on where the upload stands.",
)
SIZE_INVALID = ErrorCode(
    "SIZE_INVALID",
    400,
    "provided length did not match content length",
    "The body is shorter or longer than announced, or longer than may be.",
)
TAG_INVALID = ErrorCode(
    "TAG_INVALID",
    400,
    "manifest tag did not match URI",
    "The tag is malformed, or there are too many of them.",
)
TOOMANYREQUESTS = ErrorCode(
    "TOOMANYREQUESTS",
    429,
    "too many requests",
    "The registry that this one is a proxy of wants fewer requests.",
)
UNAUTHORIZED = ErrorCode(
    "UNAUTHORIZED",
    401,
    "authentication required",
    "The request needs credentials, or more than those that it has; the challenge says which.",
)
UNAVAILABLE = ErrorCode(
    "UNAVAILABLE",
    503,
    "service unavailable",
    "The storage cannot be reached now, or wants fewer requests; or a health check fails; or too "
    "many passwords wait to be checked; or the registry that this one is a proxy of fails.",
)
UNKNOWN = ErrorCode(
    "UNKNOWN",
    500,
    "unknown error",
    "Something is wrong with the server, its storage or its access controller; its log says what.",
)
UNSUPPORTED = ErrorCode(
    "UNSUPPORTED",
    405,
    "The operation is unsupported.",
    "There is no such resource, or it does not have the method, or deletion is not enabled.",
)

CATALOGUE = (
    BLOB_UNKNOWN,
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DENIED,
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_INVALID,
    MANIFEST_UNKNOWN,
    NAME_INVALID,
    NAME_UNKNOWN,
    PAGINATION_NUMBER_INVALID,
    RANGE_INVALID,
    SIZE_INVALID,
    TAG_INVALID,
    TOOMANYREQUESTS,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNKNOWN,
    UNSUPPORTED,
)
"""Every code, in order."""
