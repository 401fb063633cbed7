"""The body of a request that carries content: a line of JSON, the bytes, and their checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

from storagedriver_core import Buffer

MEDIA_TYPE = "application/x-storagedriver-content"
CHECKSUM_BYTES = 4

# Larger pieces would be copied by the transport, which takes what the socket has no room for.
_PIECE_BYTES = 256 * 1024

# Up to so many bytes are copied together: one system call costs more.
_SMALL_BYTES = 64 * 1024


class ContentBody(Payload):
    """Sends buffers from where they lie, and computes their CRC-32 on the way.

    Args:
        arguments: The line of JSON.
        data: The bytes, one buffer after the other; they may not change before they are sent.
    """

    def __init__(self, arguments: Mapping[str, Any], data: Sequence[Buffer]) -> None:
        super().__init__(data, content_type=MEDIA_TYPE)
        self._line = json.dumps(arguments, separators=(",", ":")).encode() + b"\n"
        self._views = [memoryview(each).cast("B") for each in data if len(each)]
        bytes_ = sum(len(view) for view in self._views)
        self._size = len(self._line) + bytes_ + CHECKSUM_BYTES

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return "<content>"  # what aiohttp shows of a body

    async def write(self, writer: AbstractStreamWriter) -> None:
        checksum = zlib.crc32(self._line)
        held = self._line
        for view in self._views:
            for start in range(0, len(view), _PIECE_BYTES):
                piece = view[start : start + _PIECE_BYTES]
                checksum = zlib.crc32(piece, checksum)
                if len(held) + len(piece) <= _SMALL_BYTES:
                    held += piece
                    continue
                if held:
                    await writer.write(held)
                    held = b""
                await writer.write(piece)
        await writer.write(held + checksum.to_bytes(CHECKSUM_BYTES, "big"))

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)
