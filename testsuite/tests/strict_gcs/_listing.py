"""Pages of names. Source: json_api/v1/objects/list, "Optional query parameters" and "Response".

Items and prefixes come in the order of their UTF-8; `maxResults` counts both, and is at most 1,000;
`startOffset` is inclusive, `endOffset` exclusive; with a delimiter, what lies behind it shows as a
prefix, once; an object that ends with the delimiter shows as an item, too, only with
`includeTrailingDelimiter`. A page token is good for the same query alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

from ._errors import ApiError
from ._store import Bucket

MOST = 1000
_PARAMETERS = ("prefix", "delimiter", "startOffset", "endOffset", "includeTrailingDelimiter")
_NOT_FAKED = ("versions", "matchGlob", "softDeleted", "filter", "includeFoldersAsPrefixes")


def list_page(bucket: Bucket, query: Mapping[str, str]) -> dict[str, Any]:
    for name in _NOT_FAKED:
        if query.get(name) not in (None, "", "false"):
            raise ApiError(501, f"the fake has no {name}")
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    trailing = query.get("includeTrailingDelimiter") == "true"
    start, end = query.get("startOffset", ""), query.get("endOffset")
    names = bucket.names
    at = bisect_left(names, max(prefix, start))
    if "pageToken" in query:
        at = max(at, _after(names, _read_token(query, delimiter), delimiter))
    items: list[dict[str, Any]] = []
    prefixes: list[str] = []
    last, room = "", _most(query)
    while at < len(names):
        name = names[at]
        if not name.startswith(prefix) or (end is not None and name >= end):
            break
        if len(items) + len(prefixes) >= room:
            page = _page(items, prefixes)
            page["nextPageToken"] = _write_token(query, last)
            return page
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            items.append(bucket.objects[name].resource())
            last = name
            at += 1
            continue
        last = name[: cut + len(delimiter)]
        prefixes.append(last)
        if trailing and name == last:
            items.append(bucket.objects[name].resource())
        at = _after(names, last, delimiter)
    return _page(items, prefixes)


def _page(items: list[dict[str, Any]], prefixes: list[str]) -> dict[str, Any]:
    # Empty lists are left out, as the service does.
    page: dict[str, Any] = {"kind": "storage#objects"}
    if prefixes:
        page["prefixes"] = prefixes
    if items:
        page["items"] = items
    return page


def _most(query: Mapping[str, str]) -> int:
    text = query.get("maxResults", str(MOST))
    if not text.isdecimal() or int(text) < 1:
        raise ApiError(400, f"Invalid value '{text}'. Values must be positive: maxResults")
    return min(int(text), MOST)


def _after(names: list[str], last: str, delimiter: str) -> int:
    """Find the first name after the entry `last`, which is a prefix if it ends so."""
    if not (delimiter and last.endswith(delimiter)):
        return bisect_right(names, last)
    # Everything that begins with the prefix sorts before the same text with its end raised by one.
    return bisect_left(names, last[:-1] + chr(ord(last[-1]) + 1))


def _digest(query: Mapping[str, str]) -> str:
    asked = [query.get(name, "") for name in _PARAMETERS]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _write_token(query: Mapping[str, str], last: str) -> str:
    return base64.urlsafe_b64encode(f"{_digest(query)}{last}".encode()).decode()


def _read_token(query: Mapping[str, str], delimiter: str) -> str:
    try:
        text = base64.urlsafe_b64decode(query["pageToken"]).decode()
    except ValueError:
        raise ApiError(400, "Invalid page token") from None
    if text[:12] != _digest(query):
        raise ApiError(400, "Page token is of another request")
    return text[12:]
