"""Bodies that come piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeAlias

Chunk: TypeAlias = bytes | memoryview
"""A part of a body. Nobody changes it; a view's memory is used again when its last view is gone."""


async def chained(first: list[Chunk], rest: AsyncIterator[Chunk]) -> AsyncGenerator[Chunk, None]:
    """Give pieces that are there already, and then those that come."""
    for piece in first:
        yield piece
    first.clear()
    async for piece in rest:
        yield piece


async def gathered(body: AsyncIterator[Chunk], most: int) -> bytes | AsyncGenerator[Chunk, None]:
    """Give a body of at most so many bytes in one piece; a larger one as it comes."""
    pieces: list[Chunk] = []
    size = 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size > most:
            return chained(pieces, body)
    return b"".join(pieces)
