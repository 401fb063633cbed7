"""The bytes of a request, sent from where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence

from storagedriver_core import Buffer

# The transport sends what the socket takes and copies the rest, so that a piece should not be much
# larger than a socket's buffer.
_PIECE_BYTES = 256 * 1024

# As bytes, aiohttp sends a body at once; it warns above a megabyte.
_MOST_BYTES_AT_ONCE = 256 * 1024


class Body:
    """Buffers one after the other, as a file for botocore and in pieces for aiohttp.

    A body is not consumed by being sent: each iteration begins at the first byte.
    """

    def __init__(self, data: Sequence[Buffer]) -> None:
        self._views = [memoryview(each).cast("B") for each in data if len(each)]
        self._size = sum(len(view) for view in self._views)
        self._position = 0

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    def __aiter__(self) -> AsyncIterator[memoryview]:
        return _Sending(self._pieces(0, _PIECE_BYTES))

    def read(self, size: int = -1) -> bytes:
        """Give at most `size` bytes from where the file stands, for signing and checksums."""
        end = self._size if size < 0 else min(self._size, self._position + size)
        pieces = self._pieces(self._position, self._size)
        parts = []
        while self._position < end:
            part = next(pieces)[: end - self._position]
            parts.append(part)
            self._position += len(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position."""
        base = (0, self._position, self._size)[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Give the position."""
        return self._position

    def sha256(self) -> str:
        """Give the digest of all of it, in hexadecimal. May be called from any thread."""
        digest = hashlib.sha256()
        for view in self._views:
            digest.update(view)
        return digest.hexdigest()

    def _pieces(self, start: int, most: int) -> Iterator[memoryview]:
        for view in self._views:
            if start >= len(view):
                start -= len(view)
                continue
            for first in range(start, len(view), most):
                yield view[first : first + most]
            start = 0


class _Sending(AsyncIterator[memoryview]):
    """Not a generator: one that a broken connection leaves half-way waits to be collected."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._left = pieces

    async def __anext__(self) -> memoryview:
        for piece in self._left:
            return piece
        raise StopAsyncIteration


def body_of(data: Sequence[Buffer]) -> bytes | Body:
    """Give what the SDK is to send."""
    if sum(len(each) for each in data) > _MOST_BYTES_AT_ONCE:
        return Body(data)
    return data[0] if len(data) == 1 and isinstance(data[0], bytes) else b"".join(data)
