"""The table of errors: every status, reasons, Retry-After, and the outcomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from storagedriver_gcs._errors import STATUSES, error_of, translated

from storagedriver_core import (
    AuthenticationError,
    ConfigurationError,
    LimitExceededError,
    OperationTimeoutError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UploadNotFoundError,
)


def document(reason: str, message: str = "something about a secret") -> bytes:
    error = {"code": 0, "message": message, "errors": [{"reason": reason, "message": message}]}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "kind", "temporary"),
    [
        (400, "invalid", StorageDriverError, False),
        (401, "authError", AuthenticationError, False),
        (403, "forbidden", PermissionDeniedError, False),
        (403, "rateLimitExceeded", ThrottledError, True),
        (403, "userRateLimitExceeded", ThrottledError, True),
        (404, "notFound", PathNotFoundError, False),
        (408, "requestTimeout", UnavailableError, True),
        (410, "gone", UploadNotFoundError, False),
        (413, "uploadTooLarge", LimitExceededError, False),
        (429, "rateLimitExceeded", ThrottledError, True),
        (499, "", UploadNotFoundError, False),
        (500, "backendError", UnavailableError, True),
        (502, "", UnavailableError, True),
        (503, "backendError", ThrottledError, True),
        (504, "", UnavailableError, True),
        (599, "", UnavailableError, True),
        (418, "", StorageDriverError, False),
    ],
)
def test_status_and_reason_say_the_error(
    status: int, reason: str, kind: type[StorageDriverError], temporary: bool
) -> None:
    for body in (document(reason), b"<html>", b"", b"[]", b'{"error": "text"}'):
        if reason.endswith("RateLimitExceeded") or (status, reason) == (403, "rateLimitExceeded"):
            body = document(reason)
        error = error_of(status, {}, body)
        assert type(error) is kind
        assert (error.temporary, error.outcome) == (temporary, "none")
        assert "secret" not in str(error)


def test_every_status_of_the_table_has_an_error_of_its_kind() -> None:
    for status, kind in STATUSES.items():
        assert type(error_of(status, {}, b"")) is kind


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_outcome_of_a_change_is_unknown_after_a_fault_of_the_server(status: int) -> None:
    assert error_of(status, {}, b"", changes=True).outcome == "unknown"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 412, 429])
def test_refused_changes_have_done_nothing(status: int) -> None:
    assert error_of(status, {}, b"", changes=True).outcome == "none"


def test_retry_after_is_seconds_or_a_date() -> None:
    def after(text: str) -> float | None:
        error = error_of(503, {"Retry-After": text}, b"")
        assert isinstance(error, ThrottledError)
        return error.retry_after

    assert after("7") == 7.0
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    found = after(format_datetime(in_a_minute, usegmt=True))
    assert found is not None and 50 < found <= 60
    assert after("soon") is None and after("") is None


def test_missing_bucket_is_a_fault_of_the_configuration() -> None:
    body = document("notFound", "The specified bucket does not exist.")
    assert type(error_of(404, {}, body)) is ConfigurationError
    pays = document("required", "Bucket is a requester pays bucket but no user project provided.")
    assert type(error_of(400, {}, pays)) is ConfigurationError


@pytest.mark.parametrize(
    ("raised", "kind", "outcome"),
    [
        (aiohttp.ServerDisconnectedError(), UnavailableError, "unknown"),
        (aiohttp.ClientPayloadError(), UnavailableError, "unknown"),
        (ConnectionResetError(), UnavailableError, "unknown"),
        (aiohttp.SocketTimeoutError(), OperationTimeoutError, "unknown"),
        (TimeoutError(), OperationTimeoutError, "unknown"),
        (aiohttp.ConnectionTimeoutError(), UnavailableError, "none"),
    ],
)
def test_what_the_client_raises_is_translated(
    raised: Exception, kind: type[StorageDriverError], outcome: str
) -> None:
    with pytest.raises(kind) as reading, translated():
        raise raised
    assert reading.value.outcome == "none" and reading.value.__cause__ is raised
    with pytest.raises(kind) as changing, translated(changes=True):
        raise raised
    assert changing.value.outcome == outcome and changing.value.temporary
