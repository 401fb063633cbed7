"""A directory in order, in little memory: each entry is one string until its page is asked for."""

from __future__ import annotations

import datetime as clock
from collections.abc import Iterator

from storagedriver_core import FileInfo, ListOptions, child_prefix, is_internal

_EPOCH = clock.datetime.fromtimestamp(0, clock.UTC)
_MICROSECOND = clock.timedelta(microseconds=1)


class Listing:
    """The entries of one directory.

    Args:
        path: The directory.
        options: What is asked for.
    """

    def __init__(self, path: str, options: ListOptions) -> None:
        self._prefix = child_prefix(path)
        self._page_size = options.page_size
        self._after = options.start_after
        # Name (a directory's with a slash), size, microseconds, etag. NUL, which is in no name,
        # sorts before everything, so that these strings sort as their names do.
        self._entries: list[bytes] = []

    def take(self, info: FileInfo) -> None:
        """Add an entry."""
        key = f"{info.path}/" if info.is_dir else info.path
        if (self._after is not None and key <= self._after) or (
            self._prefix == "/" and is_internal(info.path)
        ):
            return
        time = "" if info.mod_time is None else (info.mod_time - _EPOCH) // _MICROSECOND
        text = f"{key[len(self._prefix) :]}\0{info.size}\0{time}\0{info.etag or ''}"
        self._entries.append(text.encode("utf-8", "surrogateescape"))

    def pages(self) -> Iterator[list[FileInfo]]:
        """Give the entries in order, page by page."""
        self._entries.sort()
        for start in range(0, len(self._entries), self._page_size):
            page = self._entries[start : start + self._page_size]
            yield [self._info(each) for each in page]

    def _info(self, entry: bytes) -> FileInfo:
        name, size, time, etag = entry.decode("utf-8", "surrogateescape").split("\0", 3)
        if name.endswith("/"):
            return FileInfo(self._prefix + name[:-1], is_dir=True)
        mod_time = _EPOCH + int(time) * _MICROSECOND if time else None
        return FileInfo(self._prefix + name, int(size), mod_time, etag=etag or None)
