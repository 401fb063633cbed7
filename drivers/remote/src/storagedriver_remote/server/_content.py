"""Requests that carry content: the line of JSON, the bytes, and whether they came as they left."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from storagedriver_core import ChecksumMismatchError, LimitExceededError
from storagedriver_remote._body import CHECKSUM_BYTES
from storagedriver_remote._client import CHECKSUM

_MOST_LINE_BYTES = 1024 * 1024


def announced_length(request: web.Request, most: int) -> int:
    """Give the bytes of a body that is not read yet.

    Args:
        request: The request.
        most: Bytes of content at most.

    Raises:
        LimitExceededError: It announces more.
        ValueError: It announces nothing.
    """
    length = request.content_length
    if length is None or length <= CHECKSUM_BYTES:
        raise ValueError("a request with content says its length")
    if length > most + _MOST_LINE_BYTES:
        raise LimitExceededError(f"a request carries at most {most} bytes")
    return length


async def read_content(request: web.Request, length: int, most: int) -> tuple[Any, Sequence[bytes]]:
    """Read the arguments and the bytes, which stay in the pieces in which they came.

    Args:
        request: Its body is not read yet.
        length: As `announced_length` gives it.
        most: Bytes of content at most.

    Raises:
        LimitExceededError: There is more.
        ChecksumMismatchError: Something happened to it on the way.
        ValueError: It is not built as the protocol says.
    """
    left, checksum = length - CHECKSUM_BYTES, 0
    pieces: list[bytes] = []
    expected = b""
    while piece := await request.content.readany():
        if left < len(piece):
            expected += piece[left:]
            piece = piece[:left]
        left -= len(piece)
        if piece:
            checksum = zlib.crc32(piece, checksum)
            pieces.append(piece)
    if left or len(expected) != CHECKSUM_BYTES:
        raise ValueError("the request was cut off")
    if checksum.to_bytes(CHECKSUM_BYTES, "big") != expected:
        raise ChecksumMismatchError("the request was damaged on the way")
    line = _take_line(pieces)
    if sum(map(len, pieces)) > most:
        raise LimitExceededError(f"a request carries at most {most} bytes")
    return json.loads(line), pieces


async def read_json(request: web.Request) -> bytes:
    """Read a body of JSON.

    Raises:
        ChecksumMismatchError: It is another one than its checksum says, where it has one.
        ValueError: The checksum is none.
    """
    body = await request.read()
    checksum = request.headers.get(CHECKSUM)
    if checksum is not None and int(checksum, 16) != zlib.crc32(body):
        raise ChecksumMismatchError("the request was damaged on the way")
    return body


def _take_line(pieces: list[bytes]) -> bytes:
    """Take the line of JSON off the front."""
    line = b""
    while pieces:
        piece = pieces.pop(0)
        head, end, rest = piece.partition(b"\n")
        line += head
        if end:
            if rest:
                pieces.insert(0, rest)
            return line
        if len(line) > _MOST_LINE_BYTES:
            break
    raise ValueError("the request has no line of JSON")
