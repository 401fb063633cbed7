"""Frames: what an answer that comes in pieces is made of, so that a cut one shows.

```text
kind (1 byte)   length (4 bytes, the highest first)   as many bytes
```

`H`: JSON, what is known before the first byte. `D`: content. `P`: JSON, a page of a listing. `E`:
JSON, the end: empty, or `{"error": …}`. Nothing comes after it, and what has no end is cut.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from storagedriver_core import UnavailableError
from storagedriver_remote._errors import error_from

HEAD = struct.Struct(">cI")
MOST_BYTES = 4 * 1024 * 1024
"""Bytes of one frame at most."""

MEDIA_TYPE = "application/x-storagedriver-frames"


def frame(kind: bytes, value: Any) -> bytes:
    """Give a frame of JSON."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return HEAD.pack(kind, len(text)) + text


class FrameReader:
    """Takes frames apart as they come.

    Args:
        read: Gives some bytes of the answer; none at its end.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read = read
        self._rest = b""
        self._left = 0
        self._is_over = False

    async def head(self) -> Any:
        """Give the JSON of the first frame, where it is one of kind `H`."""
        kind, length = await self._next()
        if kind != b"H":
            raise UnavailableError("the answer does not begin with its head")
        return await self._json(length)

    async def page(self) -> Any:
        """Give the JSON of the next page, or None at the end.

        Raises:
            StorageDriverError: The error that the listing ended with.
        """
        if self._is_over:
            return None
        kind, length = await self._next()
        if kind == b"P":
            return await self._json(length)
        await self._end(kind, length)
        return None

    async def chunk(self) -> bytes:
        """Give some bytes of content; `b""` at the end, and only there.

        Raises:
            StorageDriverError: The error that the content ended with.
        """
        while not self._left:
            if self._is_over:
                return b""
            kind, length = await self._next()
            if kind != b"D":
                await self._end(kind, length)
                return b""
            self._left = length
        chunk = self._rest or await self._some()
        if len(chunk) > self._left:
            chunk, self._rest = chunk[: self._left], chunk[self._left :]
        else:
            self._rest = b""
        self._left -= len(chunk)
        return chunk

    async def _next(self) -> tuple[bytes, int]:
        kind, length = HEAD.unpack(await self._exactly(HEAD.size))
        if length > MOST_BYTES:
            raise UnavailableError("the answer is no sequence of frames")
        return kind, length

    async def _end(self, kind: bytes, length: int) -> None:
        if kind != b"E":
            raise UnavailableError("a frame of another kind was due")
        said = await self._json(length)
        self._is_over = True
        with suppress(UnavailableError):
            await self._read()  # the end of the answer, after which the connection is free again
        if isinstance(said, dict) and "error" in said:
            raise _read_error(said["error"])

    async def _json(self, length: int) -> Any:
        try:
            return json.loads(await self._exactly(length))
        except ValueError as error:
            raise UnavailableError("a frame is broken") from error

    async def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._rest += await self._some()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    async def _some(self) -> bytes:
        if chunk := await self._read():
            return chunk
        raise UnavailableError("the answer was cut off before its end")


def _read_error(value: Any) -> Exception:
    try:
        return error_from(value)
    except (TypeError, ValueError, AttributeError):
        return UnavailableError("a frame is broken")
