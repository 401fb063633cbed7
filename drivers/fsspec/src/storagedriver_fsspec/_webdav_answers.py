"""What a WebDAV server's answers say: resources in XML, headers, and ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from storagedriver_core import FileInfo, ReadOptions, UnavailableError
from storagedriver_fsspec._files import utc

STAMP_NAMESPACE = "urn:storagedriver"


def resources_of(pieces: Iterator[bytes]) -> Iterator[tuple[str, FileInfo]]:
    """Read the resources of a PROPFIND as they come, and keep none.

    Gives:
        The path of each, as the server writes it, and what it is.

    Raises:
        UnavailableError: It is no XML, or less than all of it.
    """
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    root: ElementTree.Element | None = None
    try:
        for piece in pieces:
            parser.feed(piece)
            for event, found in parser.read_events():
                if root is None:
                    root = found
                elif event == "end" and found.tag == "{DAV:}response":
                    yield _resource(found)
                    root.clear()
        parser.close()
    except ElementTree.ParseError:
        raise UnavailableError("the server's answer is not whole") from None


def _resource(response: ElementTree.Element) -> tuple[str, FileInfo]:
    href = response.findtext("{DAV:}href") or ""
    props: dict[str, ElementTree.Element] = {}
    for found in response.iterfind("{DAV:}propstat"):
        if " 200" in (found.findtext("{DAV:}status") or " 200"):
            for prop in found.iterfind("{DAV:}prop/*"):
                props[prop.tag.removeprefix("{DAV:}")] = prop
    kind = props.get("resourcetype")
    path = unquote(urlsplit(href).path)
    if kind is not None and kind.find("{DAV:}collection") is not None:
        return path, FileInfo(path, is_dir=True)
    texts = {name: prop.text or "" for name, prop in props.items()}
    headers = {"last-modified": texts.get("getlastmodified"), "etag": texts.get("getetag")}
    return path, info_of(path, int(texts.get("getcontentlength") or 0), headers)


def stamp_in(document: bytes) -> str:
    """Give the stamp that a PROPFIND for it found; nothing if there is none.

    Raises:
        UnavailableError: It is no XML.
    """
    try:
        tree = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        raise UnavailableError("the server's answer is not whole") from None
    return tree.findtext(f".//{{{STAMP_NAMESPACE}}}upload") or ""


def info_of(path: str, size: int, headers: Mapping[str, str | None]) -> FileInfo:
    """Give what headers, or properties of the same names, say of a file."""
    time = headers.get("last-modified")
    # Some servers quote it in a header and not in a property.
    etag = (headers.get("etag") or "").strip('"') or None
    return FileInfo(path, size, utc(parsedate_to_datetime(time)) if time else None, etag=etag)


def named(info: FileInfo, path: str) -> FileInfo:
    """Give the same with the contract's path."""
    if info.is_dir:
        return FileInfo(path, is_dir=True)
    return FileInfo(path, info.size, info.mod_time, etag=info.etag)


def length_of(response: Any) -> int:
    """Give the length of a body.

    Raises:
        UnavailableError: The answer does not tell it.
    """
    text = response.headers.get("content-length", "")
    if not text.isdecimal():
        raise UnavailableError("the server does not tell the length")
    return int(text)


def range_of(options: ReadOptions) -> str:
    """Give the Range header, or nothing for the whole file."""
    if options.suffix is not None:
        return f"bytes=-{options.suffix}" if options.suffix else "bytes=-1"
    if options.length is not None:
        # There is no way to ask for nothing.
        return f"bytes={options.offset}-{options.offset + max(options.length, 1) - 1}"
    return f"bytes={options.offset}-" if options.offset else ""
