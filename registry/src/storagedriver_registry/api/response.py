"""Answers: those in memory, files, and streams."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from io import FileIO
from typing import Any, Protocol, TypeAlias

from storagedriver_core import FileReader
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.api.request import SEND_FILE, SEND_PATH, Message, Request, Send

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
# As they are sent, for many answers.
FixedHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]

# Each piece costs a hop between threads.
_LEAST_PIECE, _MOST_PIECE = 32 * 1024, 512 * 1024
# A piece is no more than what the client takes in so many seconds, which is looked at so often.
_PIECE_SECONDS, _LOOK_SECONDS = 0.005, 0.1
# Nor is it more than this share of what it has taken: it may stop at any time.
_SHARE = 128
# Of a file, before it is looked whether the client is there, and what it has is counted.
_FILE_PIECE = 4 * 1024 * 1024

# Bodies of these are not looked for: see `Request.skip_body`.
_WITHOUT_BODY = frozenset({"GET", "HEAD"})


def fixed_headers(headers: Mapping[str, str]) -> FixedHeaders:
    """Encode headers, by name in lower case."""
    return tuple((key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items())


class Response:
    """An answer whose body is in memory.

    Args:
        status: HTTP status.
        headers: By name in lower case; or as `fixed_headers` gives them.
        body: The body.
        length: Bytes to announce, where that is not the body's: answers to HEAD.

    Attributes:
        status: HTTP status.
        length: Bytes of the content.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] | FixedHeaders = (),
        body: bytes = b"",
        *,
        length: int | None = None,
    ) -> None:
        self.status = status
        self.headers: RawHeaders = list(
            headers if isinstance(headers, tuple) else fixed_headers(headers)
        )
        self.length = len(body) if length is None else length
        # An answer without content has no length. Source: RFC 9110, section 8.6.
        if status not in (204, 304):
            self.headers.append((b"content-length", b"%d" % self.length))
        self._body = body

    async def send(self, request: Request, send: Send, headers: RawHeaders) -> None:
        """Send it, with the headers that every answer has."""
        if request.method not in _WITHOUT_BODY and not await request.skip_body():
            headers = [*headers, (b"connection", b"close")]
        await send(self._start(headers))
        body = b"" if request.method == "HEAD" else self._body
        await send({"type": "http.response.body", "body": body})

    def _start(self, headers: RawHeaders) -> Message:
        headers = [*self.headers, *headers]
        return {"type": "http.response.start", "status": self.status, "headers": headers}


class PathResponse(Response):
    """An answer whose body is a local file, which the server opens and sends."""

    def __init__(self, headers: FixedHeaders, path: str, length: int) -> None:
        super().__init__(200, headers, length=length)
        self._path = path

    async def send(self, request: Request, send: Send, headers: RawHeaders) -> None:
        """Send it."""
        await send(self._start(headers))
        await send({"type": SEND_PATH, "path": self._path})


class FileResponse(Response):
    """An answer whose body is a part of an open file, which the server sends; it is closed then."""

    def __init__(
        self, status: int, headers: FixedHeaders, file: FileIO, offset: int, length: int
    ) -> None:
        super().__init__(status, headers, length=length)
        self._file = file
        self._offset = offset

    async def send(self, request: Request, send: Send, headers: RawHeaders) -> None:
        """Send it, as fast as the client takes it, until the end or until it goes away."""
        gone = asyncio.ensure_future(request.disconnected())
        try:
            await send(self._start(headers))
            offset, end = self._offset, self._offset + self.length
            while offset < end and not gone.done():
                count = min(end - offset, _FILE_PIECE)
                message = {"type": SEND_FILE, "file": self._file, "offset": offset, "count": count}
                offset += count
                await send({**message, "more_body": offset < end})
        finally:
            gone.cancel()
            self._file.close()


class Reader(Protocol):
    """Gives a body piece by piece, in `async with`."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *error: Any) -> object: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class _Pace:
    """How much of a body the server is given at a time.

    A server lets some messages wait for the client, whatever their size (granian about ten). So
    each is what the client takes in some milliseconds: what waits for all clients together is
    bounded by what they take together. It is also a small share of what the client has taken, for
    the first mebibytes are taken by the kernel, however slow the client is.

    Attributes:
        size: Bytes of a piece.
    """

    def __init__(self) -> None:
        self.size = _LEAST_PIECE
        self._most = _MOST_PIECE
        self._taken = self._taken_lately = 0
        self._looked = time.monotonic()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Cut a chunk."""
        position = 0
        while position < len(chunk):
            piece = chunk[position : position + self.size]
            position += len(piece)
            yield piece

    def note(self, size: int) -> None:
        """Note that the server has taken so many bytes."""
        self._taken += size
        self._taken_lately += size
        now = time.monotonic()
        if (seconds := now - self._looked) > _LOOK_SECONDS:
            self._most = round(self._taken_lately / seconds * _PIECE_SECONDS)
            self._taken_lately, self._looked = 0, now
            if self._most < _LEAST_PIECE:
                self._taken = 0
        self.size = min(max(min(self._taken // _SHARE, self._most), _LEAST_PIECE), _MOST_PIECE)


class StreamResponse(Response):
    """An answer whose body is read while it is sent; the reader is closed at the end."""

    def __init__(self, status: int, headers: FixedHeaders, reader: Reader, length: int) -> None:
        super().__init__(status, headers, length=length)
        self._reader = reader

    async def send(self, request: Request, send: Send, headers: RawHeaders) -> None:
        """Send it, as fast as the client takes it, until the end or until it goes away.

        If the store fails midway, the error passes on: the server then cuts the connection, so
        that nobody takes what came for the whole.
        """
        # Some servers swallow what is sent after the client has gone, so it has to be watched.
        gone = asyncio.ensure_future(request.disconnected())
        try:
            async with self._reader:
                await send(self._start(headers))
                pace = _Pace()
                async for chunk in self._reader:
                    for piece in pace.pieces(chunk):
                        if gone.done():
                            return
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        pace.note(len(piece))
                    if isinstance(self._reader, FileReader):
                        self._reader.set_chunk_size(pace.size)
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()


def sent_bytes(message: Message, announced: int) -> int:
    """Give how much of an answer's body a message has sent."""
    if message["type"] == SEND_PATH:
        return announced  # the server does not say how far it has come
    size: int = message["count"] if message["type"] == SEND_FILE else len(message.get("body", b""))
    return size


def json_response(
    data: Any, headers: Mapping[str, str] | None = None, *, status: int = 200
) -> Response:
    """Give an answer of JSON."""
    body = json.dumps(data).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)


def error_response(error: ApiError) -> Response:
    """Give the answer to a request that failed."""
    headers = {"content-type": "application/json", **error.headers}
    return Response(error.status, headers, error.body())
