"""Heads and bodies of HTTP/1.1 messages. Source: RFC 9112, sections 2 to 7."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field

HEAD_BYTES = 256 * 1024
PIECE_BYTES = 256 * 1024

# How a body ends: after so many bytes, in chunks, or with the connection.
Framing = int | None
CHUNKED = -1
UNTIL_CLOSE = -2


@dataclass(slots=True)
class Head:
    """A start line and its headers, whose names keep their spelling."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str:
        """Give the first value of a header, or an empty text."""
        lowered = name.lower()
        return next((value for key, value in self.headers if key.lower() == lowered), "")

    def without(self, *names: str) -> list[tuple[str, str]]:
        """Give the headers but for these."""
        lowered = {name.lower() for name in names}
        return [(key, value) for key, value in self.headers if key.lower() not in lowered]

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.start.split(" ", 1)[0]

    @property
    def target(self) -> str:
        """The path and query of a request."""
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.start.split(" ")[1])

    @property
    def keeps_alive(self) -> bool:
        """Whether the sender will go on with the connection."""
        wish = self.get("connection").lower()
        return wish == "keep-alive" if "HTTP/1.0" in self.start else wish != "close"

    def encode(self) -> bytes:
        """Give the bytes as they are sent."""
        lines = [self.start, *(f"{key}: {value}" for key, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read a head; None where the connection ends before its first byte.

    Raises:
        ConnectionError: It ends later, or what comes is no head.
    """
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise ConnectionResetError("the connection ended inside a head") from error
    except asyncio.LimitOverrunError as error:
        raise ConnectionResetError("the head is too long") from error
    start, *lines = data[:-4].decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon:
            raise ConnectionResetError("a header has no colon")
        headers.append((key, value.strip()))
    return Head(start, headers)


def request_framing(head: Head) -> Framing:
    """Tell how the body of a request ends; 0 if there is none."""
    if "chunked" in head.get("transfer-encoding").lower():
        return CHUNKED
    return int(head.get("content-length") or 0)


def answer_framing(head: Head, method: str) -> Framing:
    """Tell how the body of the answer to a request ends; 0 if there is none."""
    if method == "HEAD" or head.status < 200 or head.status in (204, 304):
        return 0
    if "chunked" in head.get("transfer-encoding").lower():
        return CHUNKED
    length = head.get("content-length")
    return int(length) if length else UNTIL_CLOSE


async def pieces(reader: asyncio.StreamReader, framing: Framing) -> AsyncIterator[bytes]:
    """Give the content of a body, as it comes and decoded.

    Raises:
        ConnectionError: The connection ends inside it.
    """
    if framing == CHUNKED:
        async for piece in _chunks(reader):
            yield piece
    elif framing == UNTIL_CLOSE:
        while piece := await reader.read(PIECE_BYTES):
            yield piece
    else:
        async for piece in _exactly(reader, framing or 0):
            yield piece


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        piece = await reader.read(min(size, PIECE_BYTES))
        if not piece:
            raise ConnectionResetError(f"the body ended {size} bytes early")
        size -= len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readline()
        if not line:
            raise ConnectionResetError("the connection ended between chunks")
        size = int(line.split(b";")[0], 16)
        async for piece in _exactly(reader, size):
            yield piece
        if size:
            await reader.readline()
            continue
        while (await reader.readline()).strip():
            pass  # trailers, which nobody here needs
        return


def framed(piece: bytes, framing: Framing) -> Iterable[bytes]:
    """Give a piece as it is sent inside a body of this framing."""
    return (b"%x\r\n" % len(piece), piece, b"\r\n") if framing == CHUNKED else (piece,)


def end_of(framing: Framing) -> Iterator[bytes]:
    """Give what is sent after the last piece."""
    if framing == CHUNKED:
        yield b"0\r\n\r\n"
