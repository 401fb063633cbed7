"""The table of errors: complete, and true to what may have happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from botocore import exceptions as sdk
from botocore.exceptions import BotoCoreError, ClientError
from storagedriver_s3._errors import ERROR_TYPES, SDK_ERROR_TYPES, code_of, translate, translating

from storagedriver_core import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NoSpaceError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UploadNotFoundError,
)


def answer(code: str, status: int, headers: dict[str, str] | None = None) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError(
        {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": metadata}, "PutObject"
    )


def translated(error: Exception, *, changes: bool = True) -> StorageDriverError:
    made = translate(error, changes=changes)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, PathNotFoundError),
        ("404", 404, PathNotFoundError),
        ("NoSuchUpload", 404, UploadNotFoundError),
        ("NoSuchBucket", 404, ConfigurationError),
        ("InvalidAccessKeyId", 403, AuthenticationError),
        ("SignatureDoesNotMatch", 403, AuthenticationError),
        ("ExpiredToken", 400, AuthenticationError),
        ("AccessDenied", 403, PermissionDeniedError),
        ("403", 403, PermissionDeniedError),
        ("InvalidPart", 400, ConflictError),
        ("PreconditionFailed", 412, ConflictError),
        ("XMinioStorageFull", 507, NoSpaceError),
        ("QuotaExceeded", 403, NoSpaceError),
        ("SlowDown", 503, ThrottledError),
        ("Whatever", 503, ThrottledError),
        ("429", 429, ThrottledError),
        ("InternalError", 500, UnavailableError),
        ("Whatever", 502, UnavailableError),
        ("Whatever", 404, PathNotFoundError),
    ],
)
def test_answer_is_the_error_that_it_means(
    code: str, status: int, kind: type[StorageDriverError]
) -> None:
    made = translated(answer(code, status))
    assert type(made) is kind
    assert code in made.message


def test_answer_of_unknown_code_is_an_error_of_the_tree() -> None:
    made = translated(answer("Teapot", 418))
    assert type(made) is StorageDriverError
    assert "Teapot" in made.message and not made.temporary


def test_broken_answer_to_a_change_leaves_it_unknown() -> None:
    assert translated(answer("InternalError", 500)).outcome == "unknown"
    assert translated(answer("InternalError", 500), changes=False).outcome == "none"
    # These were refused before anything was done.
    assert translated(answer("SlowDown", 503)).outcome == "none"
    assert translated(answer("AccessDenied", 403)).outcome == "none"


def test_throttled_error_says_when_to_come_back() -> None:
    seconds = translated(answer("SlowDown", 503, {"retry-after": "7"}))
    assert isinstance(seconds, ThrottledError) and seconds.retry_after == 7
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    later = translated(answer("429", 429, {"retry-after": date}))
    assert isinstance(later, ThrottledError) and 50 < (later.retry_after or 0) <= 60
    for unsaid in ({}, {"retry-after": "soon"}):
        silent = translated(answer("SlowDown", 503, unsaid))
        assert isinstance(silent, ThrottledError) and silent.retry_after is None


def every_class(base: type[Exception]) -> set[type[Exception]]:
    return {base}.union(*(every_class(below) for below in base.__subclasses__()))


def made_of(kind: type[Exception]) -> Exception:
    """Make an error of a class, whatever its constructor and its text want."""
    silent: Any = type("Silent", (kind,), {"__str__": lambda self: "said so"})
    error: Exception = silent.__new__(silent)
    Exception.__init__(error, "said so")
    return error


def test_every_error_of_the_sdk_becomes_one_of_the_tree() -> None:
    for kind in every_class(BotoCoreError) | every_class(aiohttp.ClientError):
        assert isinstance(translate(made_of(kind), changes=True), StorageDriverError), kind


def test_every_error_of_a_lost_connection_leaves_a_change_unknown() -> None:
    for kind in every_class(sdk.HTTPClientError):
        made = translated(made_of(kind))
        sent = next(
            reached for known, (_, reached) in SDK_ERROR_TYPES.items() if issubclass(kind, known)
        )
        assert made.outcome == ("unknown" if sent else "none"), kind


def test_refused_connection_has_changed_nothing() -> None:
    key: Any = None
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError())
    error = sdk.EndpointConnectionError(endpoint_url="http://x", error=refused)
    made = translated(error)
    assert (type(made), made.outcome, made.temporary) == (UnavailableError, "none", True)


@pytest.mark.parametrize(
    ("error", "kind", "outcome"),
    [
        (aiohttp.ConnectionTimeoutError("Connection timeout"), UnavailableError, "none"),
        (aiohttp.SocketTimeoutError("Timeout on reading"), OperationTimeoutError, "unknown"),
        (aiohttp.ServerDisconnectedError(), UnavailableError, "unknown"),
        (made_of(aiohttp.ClientConnectorCertificateError), ConfigurationError, "none"),
        (made_of(aiohttp.ClientConnectorSSLError), ConfigurationError, "none"),
    ],
)
def test_what_a_direct_request_raises_is_told_like_the_sdks(
    error: Exception, kind: type[StorageDriverError], outcome: str
) -> None:
    made = translated(error)
    assert (type(made), made.outcome) == (kind, outcome)


def test_missing_answer_is_a_timeout() -> None:
    assert isinstance(translated(TimeoutError()), OperationTimeoutError)
    late = sdk.ReadTimeoutError(endpoint_url="http://x")
    assert isinstance(translated(late), OperationTimeoutError)


def test_bug_is_not_translated() -> None:
    assert translate(KeyError("x"), changes=True) is None
    with pytest.raises(KeyError), translating(changes=True):
        raise KeyError("x")


def test_error_of_the_tree_passes_and_the_sdks_is_its_cause() -> None:
    original = answer("NoSuchKey", 404)
    with pytest.raises(PathNotFoundError) as caught, translating(changes=False):
        raise original
    assert caught.value.__cause__ is original
    assert code_of(caught.value) == "NoSuchKey"
    passed = ConflictError("as it is")
    with pytest.raises(ConflictError) as same, translating(changes=False):
        raise passed
    assert same.value is passed
    assert code_of(passed) == ""


def test_table_holds_errors_of_the_tree_alone() -> None:
    assert all(issubclass(kind, StorageDriverError) for kind in ERROR_TYPES.values())
    assert all(issubclass(kind, StorageDriverError) for kind, _ in SDK_ERROR_TYPES.values())
