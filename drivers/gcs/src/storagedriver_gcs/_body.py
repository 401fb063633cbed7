"""Bodies of requests, from memory that is not copied."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

from storagedriver_core import Buffer

# Larger pieces would be copied by the transport, which takes what the socket has no room for.
_SLICE = 256 * 1024


class MemoryBody(Payload):
    """Buffers, one after the other, sent in slices so that the loop stays free in between.

    Args:
        buffers: The bytes; must not change before they are sent.
        content_type: Media type of the header; None for no header.
    """

    def __init__(self, buffers: Sequence[Buffer], content_type: str | None = None) -> None:
        super().__init__(buffers, content_type=content_type or "")
        self.media_type = content_type
        self._views = [memoryview(buffer) for buffer in buffers]
        self._size = sum(view.nbytes for view in self._views)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._views).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for view in self._views:
            for start in range(0, view.nbytes, _SLICE):
                await writer.write(view[start : start + _SLICE])

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)


def cut(buffers: Sequence[Buffer], skip: int) -> list[Buffer]:
    """Give the buffers without their first `skip` bytes."""
    rest: list[Buffer] = []
    for buffer in buffers:
        view = memoryview(buffer)
        if skip < view.nbytes:
            rest.append(view[skip:] if skip else buffer)
        skip = max(0, skip - view.nbytes)
    return rest


def size_of(buffers: Sequence[Buffer]) -> int:
    """Give the bytes of all buffers."""
    return sum(memoryview(buffer).nbytes for buffer in buffers)
