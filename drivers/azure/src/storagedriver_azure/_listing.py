"""Pages of a container's list."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from storagedriver_azure._connection import Connection
from storagedriver_azure._names import Names
from storagedriver_azure._objects import parse_time, plain_etag
from storagedriver_azure._order import sort_key, start_of
from storagedriver_core import (
    FileInfo,
    InvalidPathError,
    ListOptions,
    UnavailableError,
    child_prefix,
)

_PARSED_AT_ONCE = 16 * 1024
MAX_PAGE = 5000
"""Entries of a page at most. Source: "List Blobs", `maxresults`."""


@dataclass(slots=True)
class Page:
    """One page of a list, names as the service has them.

    Attributes:
        blobs: Name, size, time of the last change and etag of each blob.
        prefixes: What stands for the blobs below a `/`, which it ends with.
        marker: Where the next page begins; empty after the last one.
    """

    blobs: list[tuple[str, int, str, str]]
    prefixes: list[str]
    marker: str


class PageParser:
    """Reads one page as it comes, without a tree of all of it.

    Source: "List Blobs", "Response body".
    """

    def __init__(self) -> None:
        self._parser: Any = ElementTree.XMLPullParser(("end",))
        self._page = Page([], [], "")
        self._is_whole = False

    def feed(self, data: bytes) -> None:
        """Take some of the body.

        Raises:
            UnavailableError: It is no list.
        """
        try:
            # What was parsed waits as a tree until it is taken.
            for start in range(0, len(data), _PARSED_AT_ONCE):
                self._parser.feed(data[start : start + _PARSED_AT_ONCE])
                self._take()
        except (ElementTree.ParseError, ValueError, AttributeError) as error:
            raise UnavailableError("an answer that is no list of blobs") from error

    def close(self) -> Page:
        """Give the page.

        Raises:
            UnavailableError: The body was not a whole list.
        """
        try:
            self._parser.close()
            self._take()
            if not self._is_whole:
                raise ValueError("another document")
        except (ElementTree.ParseError, ValueError, AttributeError) as error:
            raise UnavailableError("a list of blobs that ends early") from error
        return self._page

    def _take(self) -> None:
        page = self._page
        for _, element in self._parser.read_events():
            tag = element.tag
            if tag == "Blob":
                known = element.find("Properties")
                size, changed, etag = map(
                    known.findtext, ("Content-Length", "Last-Modified", "Etag")
                )
                page.blobs.append((_name(element), int(size or 0), changed or "", etag or ""))
                element.clear()
            elif tag == "BlobPrefix":
                page.prefixes.append(_name(element))
                element.clear()
            elif tag == "NextMarker":
                page.marker = element.text or ""
            elif tag == "EnumerationResults":
                self._is_whole = True


def _name(entry: Any) -> str:
    found = entry.find("Name")
    name: str = found.text or ""
    # What XML cannot hold comes percent-encoded.
    return unquote(name) if found.get("Encoded") == "true" else name


async def pages(
    connection: Connection,
    prefix: str,
    *,
    page_size: int,
    delimiter: bool = False,
    start: str = "",
) -> AsyncGenerator[Page, None]:
    """Give the pages of the list of the names that begin with `prefix`, in order.

    Args:
        connection: The container.
        prefix: What the names begin with; may be empty.
        page_size: Entries of a page at most.
        delimiter: Put all names below a further `/` together.
        start: The name to start from, inclusive; a service that ignores it starts from the
            beginning.
    """
    query = f"restype=container&comp=list&maxresults={min(page_size, MAX_PAGE)}"
    if prefix:
        query += f"&prefix={quote(prefix, safe='')}"
    if delimiter:
        query += "&delimiter=%2F"
    if start := start_of(start):
        query += f"&startFrom={quote(start, safe='')}"
    marker = ""
    while True:
        more = f"&marker={quote(marker, safe='')}" if marker else ""
        parser = PageParser()
        async with connection.page(query + more) as answer:
            while chunk := await answer.next_chunk():
                parser.feed(chunk)
        page = parser.close()
        yield page
        if not page.marker:
            return
        marker = page.marker


async def has_blobs(connection: Connection, prefix: str) -> bool:
    """Tell whether there is a name that begins with `prefix`, by one request or very few."""
    async for page in pages(connection, prefix, page_size=1):
        # A page may be empty although more follow.
        if page.blobs:
            return True
    return False


def children(names: Names, page: Page, prefix: str, options: ListOptions) -> list[FileInfo]:
    """Give the direct children of a page, a directory counted with its `/`."""
    found = files(names, page, prefix, options)
    found += [
        FileInfo(path[:-1], is_dir=True)
        for name in page.prefixes
        if (path := names.path(name)) is not None and not _is_passed(path, options)
    ]
    # The service may give files and directories apart; its own order stays where it is another.
    found.sort(key=lambda info: sort_key(info).encode("utf-16-be"))
    return found


def files(names: Names, page: Page, prefix: str, options: ListOptions) -> list[FileInfo]:
    """Give the files of a page, without the markers of directories, in the service's order.

    What is left of a copy that did not end well is among them, or nobody would find it to delete.
    """
    return [
        FileInfo(path, size=size, mod_time=parse_time(changed), etag=plain_etag(etag))
        for name, size, changed, etag in page.blobs
        if not name.endswith("/")
        and name != prefix
        and (path := names.path(name)) is not None
        and not _is_passed(path, options)
    ]


def start_name(names: Names, path: str, options: ListOptions, *, one_level: bool) -> str:
    """Give the name at which a list after `options.start_after` may start; empty for the first.

    Args:
        names: Of the root.
        path: The directory that is listed.
        options: What to list.
        one_level: Whether only direct children are listed; the service then takes no deeper name.
    """
    prefix, after = child_prefix(path), options.start_after
    if after is None or not after.startswith(prefix) or after == prefix:
        return ""
    child, slash, _ = after[len(prefix) :].partition("/")
    try:
        if one_level and slash:
            return names.below(prefix + child)
        return names.of_file(after)
    except InvalidPathError:
        return ""  # no blob has so long a name, so there is none to start at


def is_behind(path: str, options: ListOptions) -> bool:
    """Tell whether `options.start_after` lies behind everything below the directory `path`."""
    prefix, after = child_prefix(path), options.start_after
    return after is not None and after > prefix and not after.startswith(prefix)


def _is_passed(path: str, options: ListOptions) -> bool:
    return options.start_after is not None and path <= options.start_after
