"""Large bodies, read past the HTTP client.

aiohttp has copied a byte three times before anybody sees it, which costs as much as all that is
done with it. Where the headers of an answer are read, and the length of its body is known,
everything that still comes on its connection is that body: it is read to one buffer, and copied
from there once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
from aiohttp.client_proto import ResponseHandler

LEAST = 4 << 20
"""Bytes of the shortest body that is worth a connection: no other request can use it afterwards."""

_BUFFER = 2 << 20
"""Each chunk costs two hops to other threads, as much as what is done with 256 KiB there."""


async def chunks_of(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """Give the body of an answer in chunks as they come.

    Raises:
        aiohttp.ClientError: It breaks off.
        OSError: The same, or nothing comes for too long.
    """
    body = None
    if (response.content_length or 0) >= LEAST:
        begun = response.content.read_nowait()
        # From here to the end of `_taken` nothing else may run, which might read as well.
        body = _taken(response, len(begun))
        if begun:
            yield begun
    if body is None:
        async for chunk in response.content.iter_any():
            yield chunk
    else:
        async for chunk in body.chunks():
            yield chunk


def _taken(response: aiohttp.ClientResponse, begun: int) -> _Body | None:
    """Take the connection of an answer; None if it has to stay where it is."""
    left = (response.content_length or 0) - begun
    # Where so much has come that aiohttp stopped reading, it may hold more than it has shown.
    is_held_back = begun >= response.content.get_read_buffer_limits()[1]
    connection = response.connection
    if left < LEAST or is_held_back or connection is None:
        return None
    if connection.transport is None or connection.protocol is None:
        return None
    return _Body(connection.transport, connection.protocol, left)


class _Body(asyncio.BufferedProtocol):
    """What is left of a body, on a connection that is its alone.

    Args:
        transport: The connection.
        handler: Whose it was; it is told when it ends.
        left: Bytes that are still to come.
    """

    def __init__(self, transport: asyncio.Transport, handler: ResponseHandler, left: int) -> None:
        self._transport = transport
        self._handler = handler
        self._left = left
        self._view = memoryview(bytearray(_BUFFER))
        self._filled = 0
        self._is_paused = True
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        # Its watch over the time ends as well.
        handler.pause_reading()
        transport.set_protocol(self)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give it."""
        silence = self._handler.read_timeout
        while self._filled or self._left:
            if self._is_paused and self._left:
                self._is_paused = False
                self._transport.resume_reading()
            if not self._filled:
                if self._failure is not None:
                    raise self._failure
                self._waiter = asyncio.get_running_loop().create_future()
                async with asyncio.timeout(silence):
                    await self._waiter
                continue
            chunk = bytes(self._view[: self._filled])
            self._filled = 0
            yield chunk

    # What the transport calls ------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give where to read to: what follows the body, if anything does, is not read."""
        return self._view[self._filled : self._filled + self._left]

    def buffer_updated(self, nbytes: int) -> None:
        """Note that so much was read."""
        self._filled += nbytes
        self._left -= nbytes
        if self._filled == _BUFFER or not self._left:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note that nothing more comes; the transport ends itself."""
        self._fail(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection has ended."""
        self._fail(exc)
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell whose connection it was."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Tell whose connection it was."""
        self._handler.resume_writing()

    def _fail(self, error: Exception | None) -> None:
        if self._failure is None:
            self._failure = error or ConnectionResetError("the body ended early")
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
