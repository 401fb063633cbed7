"""One page of a listing: what follows it is known at once, what is on it when it is looked at.

A page is a thousand elements. Whoever goes on asks for the next one first, and has the store at
work while this one is parsed.

Source: Amazon S3 API Reference, ListObjectsV2, "Response Syntax".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from botocore.compat import unquote_str
from botocore.parsers import ResponseParserError

from storagedriver_core import UnavailableError
from storagedriver_s3._times import parse_timestamp

# How the name ends differs from store to store.
ROOT_ELEMENT = "ListBucket"
_TRUTHS = {"true": True, "false": False}
_NO_PAGE = "not a page of a listing"


def page_of(body: bytes) -> dict[str, Any]:
    """Give the SDK's answer of a page, as far as the driver looks at it.

    Args:
        body: The document.

    Raises:
        UnavailableError: It is none, or of something else; what is wrong with the entries is found
            when they are looked at.
    """
    document = _Document(body)
    return {
        **document.end,
        "Contents": _Entries(document, "Contents", _objects),
        "CommonPrefixes": _Entries(document, "CommonPrefixes", _prefixes),
    }


class _Document:
    """A document that is parsed when that is needed.

    Attributes:
        end: Whether more follows, and what asks for it.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._glanced = _glance(body)
        self.end = self._glanced or self.parsed.end

    @cached_property
    def parsed(self) -> _Parsed:
        """The document."""
        parsed = _Parsed(self._body)
        if self._glanced not in (None, parsed.end):
            raise UnavailableError(f"{_NO_PAGE}: it ends in two ways")
        self._body = b""
        return parsed


class _Parsed:
    """A document.

    Attributes:
        root: Its element.
        namespace: What the names of elements begin with.
        is_quoted: Whether keys are as in a URL.
        end: Whether more follows, and what asks for it.
    """

    def __init__(self, body: bytes) -> None:
        try:
            self.root = ElementTree.fromstring(body)
            namespace, brace, name = self.root.tag.rpartition("}")
            if not name.startswith(ROOT_ELEMENT):
                raise ValueError(name)
            self.namespace = namespace + brace
            self.is_quoted = self._text("EncodingType") == "url"
            self.end = _end(self._text("IsTruncated"), self._text("NextContinuationToken"))
        except (ElementTree.ParseError, ValueError) as error:
            raise UnavailableError(f"{_NO_PAGE}: {error}") from error

    def elements(self, name: str) -> list[Element]:
        """Give all elements of a name."""
        return self.root.findall(self.namespace + name)

    def _text(self, name: str) -> str | None:
        return self.root.findtext(self.namespace + name)


class _Entries(Sequence[dict[str, Any]]):
    """Entries of one kind, made when they are looked at.

    Args:
        document: The page.
        name: Of their elements.
        make: Makes them of some of these.
    """

    def __init__(self, document: _Document, name: str, make: _Make) -> None:
        self._document = document
        self._name = name
        self._make = make

    def __len__(self) -> int:
        return len(self._elements)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return list(self._made(self._elements[index]))
        return next(self._made([self._elements[index]]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._made(self._elements)

    @cached_property
    def _elements(self) -> list[Element]:
        return self._document.parsed.elements(self._name)

    def _made(self, elements: Sequence[Element]) -> Iterator[dict[str, Any]]:
        try:
            yield from self._make(elements, self._document.parsed)
        except (ValueError, ResponseParserError) as error:
            raise UnavailableError(f"{_NO_PAGE}: {error}") from error


_Make = Callable[[Sequence[Element], _Parsed], Iterator[dict[str, Any]]]


def _objects(elements: Sequence[Element], page: _Parsed) -> Iterator[dict[str, Any]]:
    is_quoted, namespace = page.is_quoted, page.namespace
    key, size = f"{namespace}Key", f"{namespace}Size"
    time, etag = f"{namespace}LastModified", f"{namespace}ETag"
    for element in elements:
        text = element.findtext
        yield {
            "Key": _name(text(key), is_quoted=is_quoted),
            "Size": int(text(size, "")),
            "LastModified": parse_timestamp(text(time)),
            "ETag": text(etag) or None,
        }


def _prefixes(elements: Sequence[Element], page: _Parsed) -> Iterator[dict[str, Any]]:
    prefix = f"{page.namespace}Prefix"
    for element in elements:
        yield {"Prefix": _name(element.findtext(prefix), is_quoted=page.is_quoted)}


def _glance(body: bytes) -> dict[str, Any] | None:
    """Give what follows a page of a plain document without parsing all of it."""
    # Without comments and literal text, what looks like a tag is one.
    if b"<!" in body:
        return None
    try:
        more, token = (_text_in(body, name) for name in (b"IsTruncated", b"NextContinuationToken"))
        return _end(more, token)
    except (ElementTree.ParseError, ValueError):
        return None


def _text_in(body: bytes, name: bytes) -> str | None:
    """Give the text of the element of a name that no other has."""
    start = body.find(b"<%s>" % name)
    end = body.find(b"</%s>" % name, start)
    if start < 0 or end < 0:
        return None
    text = body[start:end]
    if not text.isascii():
        raise ValueError("what it says depends on the document's encoding")
    return ElementTree.fromstring(text + b"</%s>" % name).text


def _end(more: str | None, token: str | None) -> dict[str, Any]:
    """Give what the SDK's answer says of what follows."""
    if more not in _TRUTHS:
        raise ValueError(f"IsTruncated is {more}")
    if not _TRUTHS[more]:
        return {"IsTruncated": False}
    if not token:
        raise ValueError("more follows, and nothing says where")
    return {"IsTruncated": True, "NextContinuationToken": token}


def _name(text: str | None, *, is_quoted: bool) -> str:
    if not text:
        raise ValueError("an entry without a name")
    name: str = unquote_str(text) if is_quoted and ("%" in text or "+" in text) else text
    return name
