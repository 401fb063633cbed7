"""What the service answers and the client library raises, as errors of the contract.

Source: cloud.google.com/storage/docs/json_api/v1/status-codes. The table `STATUSES` holds for every
call; what a status means to one call alone (412, 304, 404 of an object) the call itself says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from storagedriver_core import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    LimitExceededError,
    OperationTimeoutError,
    Outcome,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UploadNotFoundError,
)

STATUSES: Mapping[int, type[StorageDriverError]] = {
    304: ConflictError,
    400: StorageDriverError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: PathNotFoundError,
    405: StorageDriverError,
    408: UnavailableError,
    409: ConflictError,
    410: UploadNotFoundError,
    411: StorageDriverError,
    412: ConflictError,
    413: LimitExceededError,
    416: StorageDriverError,
    429: ThrottledError,
    499: UploadNotFoundError,
    503: ThrottledError,
}
"""What other statuses mean: 5xx `UnavailableError`, anything else `StorageDriverError`."""

# 403 with one of these is no want of permission. Source: status-codes, "403", "429".
_THROTTLING = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"}
)
_NO_BUCKET = "bucket does not exist"
_NO_OBJECT = "No such object"


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, *, changes: bool = False
) -> StorageDriverError:
    """Give the error that an answer means.

    Args:
        status: Status code, none of success.
        headers: Headers of the answer.
        body: Body of the answer.
        changes: Whether the request would change something: then the outcome of a server's fault
            is unknown.
    """
    message, reasons = _details(body)
    kind = STATUSES.get(status, UnavailableError if status >= 500 else StorageDriverError)
    outcome: Outcome = "unknown" if changes and (status >= 500 or status == 408) else "none"
    text = f"the service answered {status}" + (f" {reasons[0]}" if reasons else "")
    if kind is ThrottledError or (status == 403 and _THROTTLING.intersection(reasons)):
        return ThrottledError(text, retry_after=_retry_after(headers), outcome=outcome)
    if status == 404 and _NO_BUCKET in message:
        return ConfigurationError("the bucket does not exist")
    if status == 400 and "requester pays" in message:
        return ConfigurationError("the bucket makes requesters pay: see requester_pays")
    return kind(text, outcome=outcome)


def is_certain(body: bytes) -> bool:
    """Tell whether a 404 says itself that an object, rather than the bucket, is missing."""
    return _details(body)[0].startswith(_NO_OBJECT)


@contextmanager
def translated(*, changes: bool = False) -> Iterator[None]:
    """Turn what the HTTP client raises into errors of the contract.

    The text of the client's errors is left out: it may repeat URLs, which are secret for sessions.
    """
    outcome: Outcome = "unknown" if changes else "none"
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
        # Nothing was sent yet.
        raise UnavailableError("the service cannot be reached") from exc
    except TimeoutError as exc:
        raise OperationTimeoutError("the service did not answer in time", outcome=outcome) from exc
    except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as exc:
        message = f"the connection was lost ({type(exc).__name__})"
        raise UnavailableError(message, outcome=outcome) from exc


def _details(body: bytes) -> tuple[str, list[str]]:
    """Give message and reasons of an error document; the text itself where it is none."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body[:300].decode(errors="replace"), []
    if not isinstance(error, dict):
        return str(error), []
    details = [detail for detail in error.get("errors") or [] if isinstance(detail, dict)]
    return str(error.get("message", "")), [str(detail.get("reason", "")) for detail in details]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
