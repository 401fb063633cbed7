"""Headers that ask for a part, or for nothing if nothing has changed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from storagedriver_registry.api.codes import RANGE_INVALID, SIZE_INVALID
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import Request
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage.bodies import Chunk

_RANGE = re.compile(
    r"bytes=(?:(?P<first>\d{1,19})-(?P<last>\d{0,19})|-(?P<suffix>\d{1,19}))", re.ASCII
)
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,19})-(\d{1,19})(?:/(?:\d+|\*))?", re.ASCII)


def etag(digest: Digest) -> str:
    """Give the entity tag: content that is named by its digest never changes."""
    return f'"{digest}"'


def is_known(request: Request, digest: Digest) -> bool:
    """Tell whether the client says that it has the content. Source: RFC 9110, "If-None-Match"."""
    header = request.header(b"if-none-match")
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    # Without quotes, too: distribution compares so.
    return "*" in tags or etag(digest) in tags or str(digest) in tags


def wanted_range(request: Request, digest: Digest, size: int) -> tuple[int, int] | None:
    """Give offset and length of the one range that is asked for; None for everything.

    Several ranges at once, and units other than bytes, are answered with everything.
    Source: RFC 9110, "Range Requests".

    Raises:
        ApiError: The range cannot be satisfied.
    """
    header = request.header(b"range")
    if header is None or not header.startswith("bytes=") or "," in header:
        return None
    condition = request.header(b"if-range")
    if condition is not None and condition != etag(digest):
        return None
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is not None:
        if found["suffix"]:
            offset, end = max(0, size - int(found["suffix"])), size
        else:
            offset, end = int(found["first"]), min(int(found["last"] or size) + 1, size)
        if offset < end:
            return offset, end - offset
    raise ApiError(RANGE_INVALID, header, headers={"content-range": f"bytes */{size}"})


def announced_range(request: Request) -> tuple[int, int] | None:
    """Give offset and length of the chunk that an upload's `Content-Range` announces.

    The specification's form is `0-9`; HTTP's own, `bytes 0-9/20`, is taken as well.

    Raises:
        ApiError: It is malformed, or of another length than the body.
    """
    header = request.header(b"content-range")
    if header is None:
        return None
    found = _CONTENT_RANGE.fullmatch(header)
    if found is None or int(found[2]) < int(found[1]):
        raise ApiError(RANGE_INVALID, header)
    length = int(found[2]) - int(found[1]) + 1
    if request.content_length not in (None, length):
        raise ApiError(SIZE_INVALID, header)
    return int(found[1]), length


async def exactly(chunks: AsyncIterator[Chunk], length: int) -> AsyncIterator[Chunk]:
    """Give the chunks, and see that they are `length` bytes together.

    Raises:
        ApiError: They are not.
    """
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > length:
            break
        yield chunk
    if received != length:
        raise ApiError(SIZE_INVALID)
