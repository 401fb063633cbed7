"""What `put_content` takes as data: bytes, an iterator of bytes, or a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

from storagedriver_core._types import Buffer

_READ_BYTES = 1024 * 1024
_BUFFERS = (bytes, bytearray, memoryview)
# They can be iterated, and yet are no content, or more likely a mistake.
_NO_BODIES = (str, dict, list, set)


@runtime_checkable
class SupportsRead(Protocol):
    """A binary file object."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes; none at the end."""


Body: TypeAlias = Buffer | SupportsRead | Iterable[Buffer] | AsyncIterable[Buffer]


def check_body(data: object) -> None:
    """Refuse what cannot be a body, before anything is sent.

    Raises:
        TypeError: It is text, or nothing that gives bytes.
    """
    # The protocol last: it looks at every attribute.
    wanted = isinstance(data, (*_BUFFERS, AsyncIterable, Iterable, SupportsRead))
    if not wanted or isinstance(data, _NO_BODIES):
        raise TypeError(
            f"data is bytes, a binary file, or an iterator of bytes, not {type(data).__name__}"
        )


def is_source(data: Body) -> TypeGuard[SupportsRead | Iterable[Buffer]]:
    """Tell whether `data` is a body that is read by calls that block: a file or plain iterator."""
    if isinstance(data, (*_BUFFERS, *_NO_BODIES, AsyncIterable)):
        return False
    return isinstance(data, (Iterable, SupportsRead))


def chunks_of(data: SupportsRead | Iterable[Buffer]) -> Iterator[Buffer]:
    """Give what a binary file or a plain iterable has; each step may block."""
    if isinstance(data, SupportsRead):
        return iter(lambda: data.read(_READ_BYTES), b"")
    return iter(data)


def flat(chunk: Buffer) -> Buffer:
    """Give the same memory, or a copy if it is not bytes one behind the other."""
    if not isinstance(chunk, memoryview):
        return chunk
    is_flat = chunk.c_contiguous and chunk.itemsize == 1 and chunk.ndim == 1
    return chunk if is_flat else bytes(chunk)


async def iterate_body(data: Body, executor: Executor) -> AsyncGenerator[Buffer, None]:
    """Give the chunks of `data`; files and plain iterators are advanced in a thread.

    An asynchronous generator is closed at the end: nobody else goes on with half a body.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        yield data
    elif isinstance(data, AsyncIterable):
        chunks = aiter(data)
        try:
            async for chunk in chunks:
                yield _checked(chunk)
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
    else:
        loop = asyncio.get_running_loop()
        source, end = chunks_of(data), object()
        while (item := await loop.run_in_executor(executor, next, source, end)) is not end:
            yield _checked(item)


def _checked(chunk: object) -> Buffer:
    if not isinstance(chunk, _BUFFERS):
        raise TypeError(f"a body's chunks are bytes, not {type(chunk).__name__}")
    return flat(chunk)
