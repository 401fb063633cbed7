"""What the service's headers say of a blob, and what they are told of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from storagedriver_azure._names import metadata_key, plain_metadata_key
from storagedriver_core import (
    Conditions,
    ConflictError,
    FileInfo,
    UnavailableError,
)

META = "x-ms-meta-"
MARKER = "storagedriver_upload"
"""Metadata key by which an upload finds again what it has published; never shown."""

_DEFAULT_TYPE = "application/octet-stream"
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


def parse_time(text: str) -> datetime:
    """Read a time as the service writes it, `Wed, 25 Nov 2026 18:45:24 GMT`.

    The one format of RFC 1123; the general parsers take five times as long, which lists feel.
    """
    try:
        return datetime(
            int(text[12:16]),
            _MONTHS[text[8:11]],
            int(text[5:7]),
            int(text[17:19]),
            int(text[20:22]),
            int(text[23:25]),
            tzinfo=UTC,
        )
    except (KeyError, ValueError) as error:
        raise UnavailableError(f"not a time of the service: {text!r}") from error


def file_info(
    path: str,
    headers: Mapping[str, str],
    *,
    size: int | None = None,
    content_type: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> FileInfo:
    """Tell of the blob that an answer is about.

    Args:
        path: The file.
        headers: Of the answer.
        size: Bytes, where the answer does not say.
        content_type: As was given, where the answer does not say.
        metadata: As was given, where the answer does not say.

    Raises:
        UnavailableError: The answer is not the service's, or tells of what is left of a copy.
    """
    require_whole(headers)
    try:
        etag, changed = headers["etag"], headers["last-modified"]
        size = _size(headers) if size is None else size
    except (KeyError, ValueError) as error:
        raise UnavailableError("an answer that tells of no blob") from error
    kind = content_type or headers.get("content-type")
    return FileInfo(
        path,
        size=size,
        mod_time=parse_time(changed),
        etag=plain_etag(etag),
        content_type=None if kind == _DEFAULT_TYPE else kind,
        metadata=_metadata(headers) if metadata is None else dict(metadata),
    )


def require_whole(headers: Mapping[str, str]) -> None:
    """Refuse the empty blob that is there while it is copied to, and after a copy that failed.

    Source: "Copy Blob", "Response headers" and "Remarks".

    Raises:
        UnavailableError: It is such a blob. Temporary as long as the copy may still succeed.
    """
    status = headers.get("x-ms-copy-status", "success")
    if status == "pending":
        raise UnavailableError("the blob is being copied to")
    if status != "success":
        raise UnavailableError(f"the blob is left of a copy that has {status}", temporary=False)


def plain_etag(etag: str) -> str:
    """Give an etag as listings spell it, without quotes."""
    return etag.strip('"')


def quoted(etag: str) -> str:
    """Give an etag as headers spell it.

    Raises:
        ConflictError: No blob can have it.
    """
    if not (etag.isascii() and etag.isprintable()) or '"' in etag:
        raise ConflictError("no blob has such an etag")
    return f'"{etag}"'


def condition_headers(conditions: Conditions | None) -> dict[str, str]:
    """Give the headers of conditions. The service's times have whole seconds, and so do these."""
    headers: dict[str, str] = {}
    if conditions is None:
        return headers
    if conditions.if_match is not None:
        headers["If-Match"] = quoted(conditions.if_match)
    if conditions.if_none_match is not None:
        headers["If-None-Match"] = quoted(conditions.if_none_match)
    if conditions.if_modified_since is not None:
        headers["If-Modified-Since"] = _time(conditions.if_modified_since)
    if conditions.if_unmodified_since is not None:
        headers["If-Unmodified-Since"] = _time(conditions.if_unmodified_since)
    return headers


def property_headers(content_type: str | None, metadata: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that store media type and metadata with a blob."""
    headers = {f"{META}{metadata_key(key)}": value for key, value in metadata.items()}
    if content_type:
        headers["x-ms-blob-content-type"] = content_type
    return headers


def marker_of(headers: Mapping[str, str]) -> str:
    """Give the marker of the upload that has published a blob; empty if none has."""
    return headers.get(f"{META}{MARKER}", "")


def _size(headers: Mapping[str, str]) -> int:
    whole = headers.get("content-range")
    return int(headers["content-length"] if whole is None else whole.rpartition("/")[2])


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, value in headers.items():
        if name[: len(META)].lower() == META:
            key = name[len(META) :]
            if key.lower() != MARKER:
                found[plain_metadata_key(key)] = value
    return found


def _time(when: datetime) -> str:
    moment = when.astimezone(UTC)
    month = next(name for name, number in _MONTHS.items() if number == moment.month)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.weekday()]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"
