"""Names, page by page.

Source: cloud.google.com/storage/docs/json_api/v1/objects/list. Names come in the order of their
UTF-8, items and prefixes in lists of their own; `startOffset` is inclusive.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

from storagedriver_core import FileInfo, ListOptions, PathNotFoundError, UnavailableError
from storagedriver_gcs._client import Client
from storagedriver_gcs._names import Names
from storagedriver_gcs._resources import LISTED_FIELDS

MOST_RESULTS = 1000
_FIELDS = f"nextPageToken,prefixes,items({LISTED_FIELDS})"


async def has_below(client: Client, names: Names, path: str) -> bool:
    """Tell whether anything lies below `path`, with one request."""
    query = {"prefix": names.below(path), "maxResults": "1", "fields": "items(name)"}
    return bool((await client.list_page(query)).json().get("items"))


async def list_pages(
    client: Client, names: Names, path: str, options: ListOptions, *, recursive: bool
) -> AsyncGenerator[Sequence[FileInfo], None]:
    """Give the entries of a directory, or with `recursive` every file below it.

    Raises:
        PathNotFoundError: There is no such directory; never for `/`.
    """
    prefix = names.below(path)
    query = {"prefix": prefix, "fields": _FIELDS}
    query["maxResults"] = str(max(1, min(options.page_size, MOST_RESULTS)))
    if not recursive:
        query["delimiter"] = "/"
    after = options.start_after
    if after is not None:
        query["startOffset"] = names.name(after)
    seen = path == "/"
    while True:
        page = (await client.list_page(query)).json()
        items, prefixes = page.get("items") or [], page.get("prefixes") or []
        seen = seen or bool(items) or bool(prefixes)
        entries = _entries(names, items, prefixes, prefix)
        if after is not None:
            entries = [entry for entry in entries if _place(entry) > after]
            after = None if entries else after
        if entries:
            yield entries
        token = page.get("nextPageToken")
        if not token:
            break
        query["pageToken"] = token
    # Nothing after `start_after` does not say that there is nothing before it.
    if not seen and (options.start_after is None or not await has_below(client, names, path)):
        raise PathNotFoundError


async def names_below(
    client: Client, prefix: str, *, but: str = ""
) -> AsyncGenerator[Sequence[str], None]:
    """Give the names that begin with `prefix`, and not with `but`, page by page."""
    query = {"prefix": prefix, "fields": "nextPageToken,items(name)"}
    while True:
        page = (await client.list_page(query)).json()
        found = [item["name"] for item in page.get("items") or []]
        yield [name for name in found if not (but and name.startswith(but))]
        token = page.get("nextPageToken")
        if not token:
            return
        query["pageToken"] = token


def _entries(
    names: Names, items: Sequence[dict[str, Any]], prefixes: Sequence[str], prefix: str
) -> list[FileInfo]:
    try:
        files = [
            FileInfo(
                names.path(item["name"]),
                int(item["size"]),
                datetime.fromisoformat(item["timeCreated"]),
                False,
                item["generation"],
            )
            for item in items
            # Objects that stand for directories are not files.
            if not item["name"].endswith("/")
        ]
    except (KeyError, TypeError, ValueError):
        raise UnavailableError("the answer is not the service's") from None
    if not prefixes:
        return files
    # An empty component, which only others can make, has no path.
    folders = [names.path(each[:-1]) for each in prefixes if each != f"{prefix}/"]
    merged = [*files, *(FileInfo(folder, is_dir=True) for folder in folders)]
    merged.sort(key=_place)
    return merged


def _place(entry: FileInfo) -> str:
    return f"{entry.path}/" if entry.is_dir else entry.path
