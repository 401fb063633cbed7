"""Copies and moves at the store."""

from __future__ import annotations

from typing import Any

from storagedriver_core import (
    AlreadyExistsError,
    ConflictError,
    FileInfo,
    PathNotFoundError,
    StorageDriverError,
)
from storagedriver_s3._bucket import Bucket


async def copy(bucket: Bucket, source: str, target: str, *, if_absent: bool) -> FileInfo:
    """Copy a file; give the source, as it was copied.

    Raises:
        PathNotFoundError: There is no file at `source`.
        ConflictError: `target` is a directory, or the source was replaced meanwhile.
        AlreadyExistsError: `if_absent`, and there is an object.
    """
    info = await bucket.head(source)
    if await bucket.has_directory(target) and not await bucket.is_file(target):
        raise ConflictError("the target is a directory", path=target)
    condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
    try:
        await bucket.change(
            "copy_object",
            Key=bucket.keys.key(target),
            CopySource=copy_source(bucket, source),
            CopySourceIfMatch=info.etag,
            MetadataDirective="COPY",
            **bucket.protection,
            **condition,
        )
    except ConflictError:
        if if_absent and await bucket.is_file(target):
            raise AlreadyExistsError(path=target) from None
        raise
    return info


async def move(bucket: Bucket, source: str, target: str, *, if_absent: bool) -> None:
    """Copy a file and delete the source, unless it was replaced meanwhile."""
    info = await copy(bucket, source, target, if_absent=if_absent)
    conditional = bucket.config.traits.delete_if_match
    condition = {"IfMatch": info.etag} if conditional else {}
    try:
        if not conditional and (await bucket.head(source)).etag != info.etag:
            raise ConflictError("the source was replaced while it was moved")
        await bucket.change("delete_object", Key=bucket.keys.key(source), **condition)
    except PathNotFoundError:
        pass  # somebody else deleted it
    except StorageDriverError as error:
        # The copy is there: whoever asks has to look.
        error.outcome = "unknown"
        raise


def copy_source(bucket: Bucket, path: str) -> dict[str, str]:
    """Name a source, as the SDK takes it: it escapes the key."""
    return {"Bucket": bucket.config.bucket, "Key": bucket.keys.key(path)}
