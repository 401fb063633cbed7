"""Answers that come in frames: short ones in one piece, others as they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from aiohttp import web

from storagedriver_core import ByteStream, FileInfo, StorageDriverError
from storagedriver_remote._errors import error_json
from storagedriver_remote._frames import HEAD, MEDIA_TYPE, MOST_BYTES, frame
from storagedriver_remote.server._guard import driver_failure

# What is whole by then goes out at once, with its length.
_ONE_PIECE_BYTES = 64 * 1024
# A listing that takes longer for its next page does not keep the first one waiting.
_ONE_PIECE_SECONDS = 0.02


class Answer:
    """An answer in frames to one request.

    Until enough has gathered nothing is sent, so that an error is still one with a status.

    Args:
        request: The request.
        call: Name of the call.
        headers: Headers of every answer.
    """

    def __init__(self, request: web.Request, call: str, headers: dict[str, str]) -> None:
        self._request = request
        self._call = call
        self._headers = headers
        self._gathered: list[bytes] = []
        self._size = 0
        self._response: web.StreamResponse | None = None
        self._began = asyncio.get_running_loop().time()

    async def content(
        self, stream: ByteStream, spell: Callable[[FileInfo], Any]
    ) -> web.StreamResponse:
        """Send what a reader gives."""

        async def send() -> None:
            self._gather(frame(b"H", spell(stream.info)))
            while chunk := await stream.next_chunk():
                if not isinstance(chunk, bytes | bytearray | memoryview):
                    raise TypeError("a chunk is bytes")
                for start in range(0, len(chunk), MOST_BYTES):
                    piece = chunk if len(chunk) <= MOST_BYTES else chunk[start : start + MOST_BYTES]
                    self._gather(HEAD.pack(b"D", len(piece)))
                    self._gather(piece)
                if self._size > _ONE_PIECE_BYTES:
                    await self._flush()

        async with stream:
            return await self._finish(send)

    async def pages(
        self, pages: AsyncGenerator[Any, None], spell: Callable[[Any], dict[str, Any]]
    ) -> web.StreamResponse:
        """Send what is listed."""
        loop = asyncio.get_running_loop()

        async def send() -> None:
            async for page in pages:
                self._gather(frame(b"P", [spell(entry) for entry in page]))
                late = loop.time() - self._began > _ONE_PIECE_SECONDS
                if late or self._response is not None or self._size > _ONE_PIECE_BYTES:
                    await self._flush()

        async with aclosing(pages):
            return await self._finish(send)

    async def _finish(self, send: Callable[[], Awaitable[None]]) -> web.StreamResponse:
        end: dict[str, Any] = {}
        try:
            await send()
        except StorageDriverError as error:
            if self._response is None:
                raise
            end = {"error": error_json(error)}
        except (asyncio.CancelledError, ConnectionError):
            raise  # nobody listens any more
        except Exception as error:
            failure = driver_failure(self._call, error)
            if self._response is None:
                raise failure from error
            end = {"error": error_json(failure)}
        self._gather(frame(b"E", end))
        if self._response is None:
            return web.Response(
                body=b"".join(self._gathered), content_type=MEDIA_TYPE, headers=self._headers
            )
        await self._flush()
        await self._response.write_eof()
        return self._response

    def _gather(self, data: bytes) -> None:
        self._gathered.append(data)
        self._size += len(data)

    async def _flush(self) -> None:
        """Send what has gathered; returns when the client has taken most of it."""
        if self._response is None:
            self._response = web.StreamResponse(headers=self._headers)
            self._response.content_type = MEDIA_TYPE
            await self._response.prepare(self._request)
        gathered, self._gathered, self._size = self._gathered, [], 0
        small: list[bytes] = []
        for data in gathered:
            if len(data) <= _ONE_PIECE_BYTES:
                small.append(data)
                continue
            if small:
                await self._response.write(b"".join(small))
                small = []
            await self._response.write(data)
        if small:
            await self._response.write(b"".join(small))
