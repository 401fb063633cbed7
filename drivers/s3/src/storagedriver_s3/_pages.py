"""One page of a listing, read as it comes.

Source: Amazon S3 API Reference, ListObjectsV2, "Response Syntax".
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from botocore.compat import unquote_str
from botocore.parsers import ResponseParserError

from storagedriver_s3._times import parse_timestamp

# How the name ends differs from store to store.
ROOT_ELEMENT = "ListBucket"
_TRUTHS = {"true": True, "false": False}


class PageParser:
    """Makes the SDK's answer of a page, as far as the driver looks at it."""

    def __init__(self) -> None:
        self._parser = ElementTree.XMLParser()

    def feed(self, data: bytes) -> None:
        """Take some of the document.

        Raises:
            ResponseParserError: It is none.
        """
        try:
            self._parser.feed(data)
        except ElementTree.ParseError as error:
            raise ResponseParserError(f"not a page of a listing: {error}") from error

    def close(self) -> dict[str, Any]:
        """Give the answer.

        Raises:
            ResponseParserError: The document ended early, or is another.
        """
        try:
            root = self._parser.close()
            namespace, _, name = root.tag.rpartition("}")
            if not name.startswith(ROOT_ELEMENT):
                raise ValueError(name)
            return _answer(root, f"{namespace}}}" if namespace else "")
        except (ElementTree.ParseError, ValueError, KeyError, TypeError) as error:
            raise ResponseParserError(f"not a page of a listing: {error}") from error


def _answer(root: Any, namespace: str) -> dict[str, Any]:
    key, size, time, etag = (
        f"{namespace}{name}" for name in ("Key", "Size", "LastModified", "ETag")
    )
    is_quoted = root.findtext(f"{namespace}EncodingType") == "url"
    contents = []
    for entry in root.iterfind(f"{namespace}Contents"):
        told = {field.tag: field.text for field in entry}
        contents.append(
            {
                "Key": _name(told[key], is_quoted=is_quoted),
                "Size": int(told[size]),
                "LastModified": parse_timestamp(told[time]),
                "ETag": told.get(etag),
            }
        )
    prefixes = [
        {"Prefix": _name(entry.findtext(f"{namespace}Prefix"), is_quoted=is_quoted)}
        for entry in root.iterfind(f"{namespace}CommonPrefixes")
    ]
    answer: dict[str, Any] = {
        "IsTruncated": _TRUTHS[root.findtext(f"{namespace}IsTruncated")],
        "Contents": contents,
        "CommonPrefixes": prefixes,
    }
    if answer["IsTruncated"]:
        token = root.findtext(f"{namespace}NextContinuationToken")
        if not token:
            raise ValueError("more follows, and nothing says where")
        answer["NextContinuationToken"] = token
    return answer


def _name(text: str | None, *, is_quoted: bool) -> str:
    if text is None:
        raise ValueError("an entry without a name")
    name: str = unquote_str(text) if is_quoted and ("%" in text or "+" in text) else text
    return name
