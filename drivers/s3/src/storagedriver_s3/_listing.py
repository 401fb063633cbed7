"""Listings: page by page, by delimiter or flat, after any key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from storagedriver_core import (
    FileInfo,
    ListOptions,
    PathNotFoundError,
)
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._info import entry_of

# Source: Amazon S3 API Reference, ListObjectsV2, "MaxKeys".
MAX_KEYS = 1000

# After every key of a directory: no character sorts after this one, and no path holds it twice.
_LAST = "\U0010ffff" * 2


async def pages(
    bucket: Bucket, prefix: str, *, after: str | None = None, size: int = MAX_KEYS, flat: bool
) -> AsyncGenerator[dict[str, Any], None]:
    """Give the SDK's answers for what begins with `prefix`, page by page.

    Args:
        bucket: The bucket.
        prefix: What keys begin with.
        after: Only keys after this one.
        size: Keys of a page.
        flat: Every key; otherwise what has a further slash comes as a common prefix.
    """
    parameters: dict[str, Any] = {"Prefix": prefix, "MaxKeys": min(size, MAX_KEYS)}
    if not flat:
        parameters["Delimiter"] = "/"
    v2 = bucket.config.traits.list_version == 2
    if after is not None:
        parameters["StartAfter" if v2 else "Marker"] = after
    while True:
        page = await bucket.read("list_objects_v2" if v2 else "list_objects", **parameters)
        yield page
        if not page["IsTruncated"]:
            return
        if v2:
            parameters.pop("StartAfter", None)
            parameters["ContinuationToken"] = page["NextContinuationToken"]
        else:
            parameters["Marker"] = page.get("NextMarker") or page["Contents"][-1]["Key"]


async def list_directory(
    bucket: Bucket, path: str, options: ListOptions
) -> AsyncGenerator[Sequence[FileInfo], None]:
    """Give the direct children of a directory."""
    keys = bucket.keys
    prefix = keys.prefix(path)
    start = options.start_after
    after = None if start is None else _after_child(prefix, keys.key(start))
    found = False
    listing = pages(bucket, prefix, after=after, size=options.page_size, flat=False)
    async with aclosing(listing):
        async for page in listing:
            entries: list[FileInfo] = []
            for entry in page.get("Contents", ()):
                found = True
                # What stands for the directory itself is no child of it.
                if entry["Key"] != prefix:
                    entries.append(entry_of(keys.path(entry["Key"]), entry))
            directories = page.get("CommonPrefixes", ())
            for directory in directories:
                found = True
                name = directory["Prefix"]
                # An empty component has no path.
                if name != keys.internal and not name.endswith("//"):
                    entries.append(FileInfo(keys.path(name)[:-1], is_dir=True))
            if directories:
                entries.sort(key=_place)
            if start is not None:
                entries = [entry for entry in entries if _place(entry) > start]
            if entries:
                yield entries
    if not found:
        await _require_directory(bucket, path, looked=after is None)


async def walk_directory(
    bucket: Bucket, path: str, options: ListOptions
) -> AsyncGenerator[Sequence[FileInfo], None]:
    """Give every file below a directory."""
    keys = bucket.keys
    prefix = keys.prefix(path)
    start = options.start_after
    after = None if start is None else keys.key(start)
    found = False
    listing = pages(bucket, prefix, after=after, size=options.page_size, flat=True)
    async with aclosing(listing):
        async for page in listing:
            files: list[FileInfo] = []
            for entry in page.get("Contents", ()):
                found = True
                key = entry["Key"]
                if not is_hidden(bucket, key, prefix):
                    files.append(entry_of(keys.path(key), entry))
            if start is not None:
                files = [file for file in files if file.path > start]
            if files:
                yield files
    if not found:
        await _require_directory(bucket, path, looked=after is None)


def is_hidden(bucket: Bucket, key: str, prefix: str) -> bool:
    """Tell whether a key is none of a file: a marker of a directory, or the driver's own."""
    if key.endswith("/") or "//" in key:
        return True
    internal = bucket.keys.internal
    return key.startswith(internal) and not prefix.startswith(internal)


def _after_child(prefix: str, start: str) -> str | None:
    """Give the key after which the first child after `start` comes; None for the first of all."""
    if not start.startswith(prefix):
        return None if start < prefix else start
    child, slash, _ = start[len(prefix) :].partition("/")
    return f"{prefix}{child}/{_LAST}" if slash else start


def _place(entry: FileInfo) -> str:
    return f"{entry.path}/" if entry.is_dir else entry.path


async def _require_directory(bucket: Bucket, path: str, *, looked: bool) -> None:
    if path != "/" and (looked or not await bucket.has_directory(path)):
        raise PathNotFoundError
