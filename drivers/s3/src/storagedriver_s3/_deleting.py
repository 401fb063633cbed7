"""Deleting: what there is by a listing, then a thousand keys at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from storagedriver_core import (
    DeleteReport,
    PartialDeleteError,
    PathNotFoundError,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._errors import error_of
from storagedriver_s3._listing import MAX_KEYS, pages

# Source: Amazon S3 API Reference, DeleteObjects.
KEYS_PER_REQUEST = 1000


async def delete(bucket: Bucket, path: str) -> None:
    """Delete a file, and everything below the directory of that name."""
    keys = bucket.keys
    prefix = keys.prefix(path)
    key = None if path == "/" else keys.key(path)
    failures: dict[str, StorageDriverError] = {}
    found = False
    # The file and what lies below it begin alike, so that one listing finds both. Only where too
    # many siblings are between them is there a second one.
    start = prefix if key is None else key
    while True:
        listing = pages(bucket, start, _names, flat=True)
        async with aclosing(listing):
            async for names in listing:
                doomed = [
                    name
                    for name in names
                    if (name == key or name.startswith(prefix)) and not _is_kept(bucket, name, path)
                ]
                found = found or bool(doomed)
                if doomed == [key]:
                    await bucket.change("delete_object", Key=key)
                else:
                    failures.update(await _delete_keys(bucket, doomed))
                if start != prefix and len(names) >= MAX_KEYS:
                    break
            else:
                break
        start = prefix
    if not found and key is not None:
        # A listing that is late must not make a file missing.
        if not await bucket.is_file(path):
            raise PathNotFoundError
        await bucket.change("delete_object", Key=key)
    if failures:
        raise PartialDeleteError(failures=failures)


async def delete_many(bucket: Bucket, paths: Sequence[str]) -> DeleteReport:
    """Delete files. The store answers for a missing one as for one that it deleted."""
    failed = await _delete_keys(bucket, [bucket.keys.key(path) for path in paths])
    return DeleteReport(tuple(path for path in paths if path not in failed), (), failed)


async def _delete_keys(bucket: Bucket, keys: Sequence[str]) -> dict[str, StorageDriverError]:
    """Delete objects; give the error of each path that was not deleted."""
    failures: dict[str, StorageDriverError] = {}
    # XML has no control characters, and parsers change some that it has.
    alone = [key for key in keys if not key.isprintable()]
    together = [key for key in keys if key.isprintable()]
    for key in alone:
        try:
            await bucket.change("delete_object", Key=key)
        except StorageDriverError as error:
            failures[bucket.keys.path(key)] = error
    for first in range(0, len(together), KEYS_PER_REQUEST):
        failures.update(await _delete_batch(bucket, together[first : first + KEYS_PER_REQUEST]))
    for path, failure in failures.items():
        failure.path = path
    return failures


async def _delete_batch(bucket: Bucket, keys: Sequence[str]) -> dict[str, StorageDriverError]:
    objects: list[dict[str, Any]] = [{"Key": key} for key in keys]
    response = await bucket.change("delete_objects", Delete={"Objects": objects, "Quiet": True})
    failures: dict[str, StorageDriverError] = {}
    for fault in response.get("Errors", ()):
        code = fault.get("Code", "")
        if code in ("NoSuchKey", "NoSuchVersion"):
            continue
        if "Key" not in fault:
            raise UnavailableError(f"{code}: some key was not deleted", outcome="unknown")
        failures[bucket.keys.path(fault["Key"])] = error_of(code, fault.get("Message", ""))
    return failures


def _names(page: dict[str, Any]) -> list[str]:
    return [entry["Key"] for entry in page.get("Contents", ())]


def _is_kept(bucket: Bucket, key: str, path: str) -> bool:
    """Tell whether the driver's own key has to stay: a delete of everything leaves uploads."""
    return path == "/" and key.startswith(bucket.keys.internal)
