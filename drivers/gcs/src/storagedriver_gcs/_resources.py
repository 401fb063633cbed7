"""What the service tells of an object, as `FileInfo`.

Source: cloud.google.com/storage/docs/json_api/v1/objects, "Resource representations". The etag of
the contract is the generation: it changes with every replacement, and preconditions take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from storagedriver_core import Conditions, ConflictError, FileInfo, PutOptions, UnavailableError

LISTED_FIELDS = "name,size,generation,timeCreated"
FIELDS = f"{LISTED_FIELDS},contentType,metadata"

UPLOAD_KEY = "storagedriver-upload"
"""Key of metadata that names the upload that made an object, so that its commit can be found."""


def file_info(path: str, resource: Mapping[str, Any]) -> FileInfo:
    """Tell of an object as `stat` does.

    Raises:
        UnavailableError: It is no object's resource: whoever answered is not the service.
    """
    metadata = resource.get("metadata") or {}
    if UPLOAD_KEY in metadata:
        metadata = {key: value for key, value in metadata.items() if key != UPLOAD_KEY}
    try:
        return FileInfo(
            path,
            size=int(resource["size"]),
            mod_time=datetime.fromisoformat(resource["timeCreated"]),
            etag=resource["generation"],
            content_type=resource.get("contentType"),
            metadata=metadata,
        )
    except (KeyError, TypeError, ValueError):
        raise UnavailableError("the answer is not the service's") from None


def info_of_media(path: str, headers: Mapping[str, str], size: int) -> FileInfo:
    """Tell of an object by the headers that came with its bytes.

    Raises:
        UnavailableError: They are not the service's, as of a page that a proxy made.
    """
    etag = generation_of_media(headers)
    modified = headers.get("Last-Modified")
    moment = parsedate_to_datetime(modified).astimezone(UTC) if modified else None
    return FileInfo(
        path,
        size=size,
        mod_time=moment,
        etag=etag,
        content_type=headers.get("Content-Type"),
    )


def generation_of_media(headers: Mapping[str, str]) -> str:
    """Give the generation of an object by the headers that came with its bytes.

    Raises:
        UnavailableError: They are not the service's, as of a page that a proxy made.
    """
    found = headers.get("X-Goog-Generation")
    if found is None:
        raise UnavailableError("the answer is not the service's")
    return found


def attributes(options: PutOptions) -> dict[str, Any]:
    """Give what a caller set of an object, as a resource."""
    document: dict[str, Any] = {}
    if options.content_type is not None:
        document["contentType"] = options.content_type
    if options.metadata:
        document["metadata"] = dict(options.metadata)
    return document


def preconditions(conditions: Conditions | None) -> dict[str, str]:
    """Give the parameters that let the service check what it can: generations.

    Raises:
        ConflictError: `if_match` is no generation, so that no object can have it.
    """
    query: dict[str, str] = {}
    if conditions is None:
        return query
    if conditions.if_match is not None:
        query["ifGenerationMatch"] = generation(conditions.if_match)
    if conditions.if_none_match is not None and is_generation(conditions.if_none_match):
        query["ifGenerationNotMatch"] = conditions.if_none_match
    return query


def generation(etag: str) -> str:
    """Give the generation that an etag names.

    Raises:
        ConflictError: It is none.
    """
    if not is_generation(etag):
        raise ConflictError("no object has this etag")
    return etag


def is_generation(etag: str) -> bool:
    """Tell whether an etag can be a generation. 0 means "no object" to the service."""
    return etag.isascii() and etag.isdecimal() and 0 < int(etag) < 1 << 63
