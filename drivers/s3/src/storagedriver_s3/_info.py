"""What answers of the store say of an object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from storagedriver_core import Conditions, ConflictError, FileInfo, UnavailableError

# What stores say of an object that was put without a media type; so it is what we put.
NO_CONTENT_TYPE = "binary/octet-stream"

# User metadata that ties an object to the upload that made it: see `_uploads`.
MARK = "storagedriver-upload"


def info_of(path: str, response: Mapping[str, Any], size: int) -> FileInfo:
    """Read the headers of a HEAD or GET.

    Raises:
        UnavailableError: They are not those of an object: something else has answered.
    """
    etag, mod_time = response.get("ETag"), response.get("LastModified")
    if not etag or mod_time is None:
        raise UnavailableError("the answer is not that of an S3 store")
    kind = response.get("ContentType")
    metadata = response["Metadata"]
    if metadata:
        metadata = {key: value for key, value in metadata.items() if key != MARK}
    return FileInfo(
        path,
        size,
        mod_time,
        etag=etag,
        content_type=None if kind == NO_CONTENT_TYPE else kind,
        metadata=metadata,
    )


def entry_of(path: str, entry: Mapping[str, Any]) -> FileInfo:
    """Read one entry of a listing."""
    return FileInfo(path, entry["Size"], entry["LastModified"], etag=entry.get("ETag"))


def date_of(response: Mapping[str, Any]) -> datetime:
    """Give the store's time by the answer's `Date`, which says no more than the second.

    The end of that second: what was made just now is then not from the future, whichever way a
    store rounds the times that it shows.
    """
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        raise UnavailableError("the answer has no Date")
    return parsedate_to_datetime(date).astimezone(UTC) + timedelta(seconds=1)


def conditions_for(conditions: Conditions | None) -> dict[str, str]:
    """Give the parameters with which the store checks conditions before it sends a body.

    Those by time are checked here: HTTP lets a store ignore one beside an etag.
    """
    if conditions is None:
        return {}
    parameters = {}
    if conditions.if_match is not None:
        parameters["IfMatch"] = conditions.if_match
    if conditions.if_none_match is not None:
        parameters["IfNoneMatch"] = conditions.if_none_match
    return parameters


def require(conditions: Conditions | None, info: FileInfo) -> None:
    """Raise `ConflictError` if the conditions do not hold."""
    if conditions is not None and not conditions.hold_for(info):
        raise ConflictError("the conditions do not hold")
