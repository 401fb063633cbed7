"""Bodies that come piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator


async def chained(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Give pieces that are there already, and then those that come."""
    for piece in first:
        yield piece
    first.clear()
    async for piece in rest:
        yield piece


async def gathered(body: AsyncIterator[bytes], most: int) -> bytes | AsyncGenerator[bytes, None]:
    """Give a body of at most so many bytes in one piece; a larger one as it comes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size > most:
            return chained(pieces, body)
    return b"".join(pieces)
