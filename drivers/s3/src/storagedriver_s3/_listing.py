"""Listings: page by page, by delimiter or flat, after any key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from storagedriver_core import (
    FileInfo,
    ListOptions,
    PathNotFoundError,
)
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._info import entry_of
from storagedriver_s3._keys import Keys

T = TypeVar("T")

# Source: Amazon S3 API Reference, ListObjectsV2, "MaxKeys".
MAX_KEYS = 1000

# After every key of a directory: no character sorts after this one, and no path holds it twice.
_LAST = "\U0010ffff" * 2


async def pages(
    bucket: Bucket,
    prefix: str,
    read: Callable[[dict[str, Any]], T],
    *,
    after: str | None = None,
    size: int = MAX_KEYS,
    flat: bool,
) -> AsyncGenerator[T, None]:
    """Give what `read` makes of each of the SDK's answers for what begins with `prefix`.

    From the third on, a page is asked for while the one before it is made ready and looked at:
    whoever has taken two takes more. The answers themselves are large, and none outlives the
    arrival of the next.

    Args:
        bucket: The bucket.
        prefix: What keys begin with.
        read: Is given each answer.
        after: Only keys after this one.
        size: Keys of a page.
        flat: Every key; otherwise what has a further slash comes as a common prefix.
    """
    parameters: dict[str, Any] = {"Prefix": prefix, "MaxKeys": min(size, MAX_KEYS)}
    if not flat:
        parameters["Delimiter"] = "/"
    v2 = bucket.config.traits.list_version == 2
    method = "list_objects_v2" if v2 else "list_objects"
    if after is not None:
        parameters["StartAfter" if v2 else "Marker"] = after
    page = await bucket.read(method, **parameters)
    ahead: asyncio.Task[Any] | None = None
    try:
        while _go_on(parameters, page, v2=v2):
            if ahead is not None:
                ahead = asyncio.create_task(bucket.read(method, **parameters))
                await asyncio.sleep(0)  # it goes out before the answer is looked at
            result = read(page)
            del page
            yield result
            del result
            if ahead is None:
                ahead = asyncio.create_task(bucket.read(method, **parameters))
            page = await ahead
        yield read(page)
    finally:
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait({ahead})
            # What kept it from coming was told, or nobody asks for it any more.
            _ = ahead.cancelled() or ahead.exception()


def _go_on(parameters: dict[str, Any], page: dict[str, Any], *, v2: bool) -> bool:
    """Have the parameters ask for what comes after a page; False if nothing does."""
    if not page["IsTruncated"]:
        return False
    if v2:
        parameters.pop("StartAfter", None)
        parameters["ContinuationToken"] = page["NextContinuationToken"]
    else:
        parameters["Marker"] = page.get("NextMarker") or page["Contents"][-1]["Key"]
    return True


async def list_directory(
    bucket: Bucket, path: str, options: ListOptions
) -> AsyncGenerator[Sequence[FileInfo], None]:
    """Give the direct children of a directory."""
    prefix, start = bucket.keys.prefix(path), options.start_after
    after = None if start is None else _after_child(prefix, bucket.keys.key(start))
    reader = _PageReader(bucket.keys, prefix, start)
    listing = pages(
        bucket, prefix, reader.children, after=after, size=options.page_size, flat=False
    )
    async with aclosing(listing):
        async for entries in listing:
            if entries:
                yield entries
            del entries
    if not reader.found:
        await _require_directory(bucket, path, looked=after is None)


async def walk_directory(
    bucket: Bucket, path: str, options: ListOptions
) -> AsyncGenerator[Sequence[FileInfo], None]:
    """Give every file below a directory."""
    prefix, start = bucket.keys.prefix(path), options.start_after
    after = None if start is None else bucket.keys.key(start)
    reader = _PageReader(bucket.keys, prefix, start)
    listing = pages(bucket, prefix, reader.files, after=after, size=options.page_size, flat=True)
    async with aclosing(listing):
        async for entries in listing:
            if entries:
                yield entries
            del entries
    if not reader.found:
        await _require_directory(bucket, path, looked=after is None)


class _PageReader:
    """Makes entries of the SDK's answers for one directory.

    Attributes:
        found: Whether there was anything, also what has no entry.
    """

    def __init__(self, keys: Keys, prefix: str, start: str | None) -> None:
        self.found = False
        self._keys = keys
        self._prefix = prefix
        self._start = start

    def children(self, page: dict[str, Any]) -> list[FileInfo]:
        """Give the files and directories of a page with common prefixes."""
        path_of, prefix, internal = self._keys.path, self._prefix, self._keys.internal
        contents, directories = page.get("Contents", ()), page.get("CommonPrefixes", ())
        self.found = self.found or bool(contents or directories)
        # What stands for the directory itself is no child of it.
        entries = [
            entry_of(path_of(entry["Key"]), entry) for entry in contents if entry["Key"] != prefix
        ]
        # An empty component has no path.
        entries += [
            FileInfo(path_of(name)[:-1], is_dir=True)
            for name in (directory["Prefix"] for directory in directories)
            if name != internal and not name.endswith("//")
        ]
        if directories:
            entries.sort(key=_place)
        if self._start is not None:
            entries = [entry for entry in entries if _place(entry) > self._start]
        return entries

    def files(self, page: dict[str, Any]) -> list[FileInfo]:
        """Give the files of a flat page."""
        contents = page.get("Contents", ())
        self.found = self.found or bool(contents)
        files = [
            entry_of(self._keys.path(entry["Key"]), entry)
            for entry in contents
            if not self._is_hidden(entry["Key"])
        ]
        if self._start is not None:
            files = [file for file in files if file.path > self._start]
        return files

    def _is_hidden(self, key: str) -> bool:
        """Tell whether a key is none of a file: a marker of a directory, or the driver's own."""
        if key.endswith("/") or "//" in key:
            return True
        internal = self._keys.internal
        return key.startswith(internal) and not self._prefix.startswith(internal)


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
