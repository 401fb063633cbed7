"""The rest of a large body, read from the connection's socket and not through aiohttp.

A body whose length is known needs no parser. So once the head has come, the connection's transport
is paused, and each chunk is received as the bytes that are handed on. Through aiohttp it would be
copied two or three times more on the way: see docs/decisions/0028.

```text
  head, first bytes ──► transport paused ──► the rest, by the socket ──► connection used again
      (aiohttp)                                  │ error, or not read to the end
                                                 └──► connection closed
```

Connections, their pool, proxies and timeouts stay aiohttp's. So do bodies over TLS, those in
chunks, and those that are small.
"""

from __future__ import annotations

import asyncio
import socket

import aiohttp

# Of less, most has come with the head.
_LEAST_BYTES = 64 * 1024

# So much is waited for, if it comes soon: what is done with each chunk costs as much as many bytes.
_WORTH_A_CHUNK_BYTES = 384 * 1024
_SOON_SECONDS = 0.1


class SocketBody:
    """The body of an answer: the first bytes as aiohttp has them, all others from the socket.

    Args:
        response: An answer that `can_take` says yes to.
        size: Bytes of its body.
    """

    def __init__(self, response: aiohttp.ClientResponse, size: int) -> None:
        connection = response.connection
        assert connection is not None
        protocol, transport = connection.protocol, connection.transport
        assert protocol is not None
        assert transport is not None
        self._loop = asyncio.get_running_loop()
        self._response = response
        self._protocol = protocol
        self._transport = transport
        self._first = _what_has_come(response.content)
        # Only now, for reading what has come makes it go on.
        protocol.pause_reading()
        self._left = size - len(self._first)
        # A descriptor of its own: a loop watches none that one of its transports has.
        its = transport.get_extra_info("socket")
        self._socket = socket.fromfd(its.fileno(), its.family, its.type)
        self._socket.setblocking(False)
        self._waits_for = 1
        # Whether it looks so: the last chunk was as large as was asked.
        self._is_more_here = False

    def __del__(self) -> None:
        # Whoever has lost the reader is told so already.
        if hasattr(self, "_socket"):
            self._socket.close()

    @staticmethod
    def can_take(response: aiohttp.ClientResponse, size: int) -> bool:
        """Tell whether an answer's body of `size` bytes can be read so, and is worth it."""
        connection = response.connection
        return (
            size - response.content.total_bytes >= _LEAST_BYTES
            and connection is not None
            and connection.transport is not None
            and connection.transport.get_extra_info("sslcontext") is None
            and "Transfer-Encoding" not in response.headers
        )

    async def read(self, amount: int) -> bytes:
        """Give the next bytes; `b""` at the end, also where that is too early.

        Args:
            amount: How many at most; the first chunk is what has come.

        Raises:
            OSError: The connection broke.
            TimeoutError: Nothing has come for as long as aiohttp waits.
        """
        if self._first:
            first, self._first = self._first, b""
            return first
        if not self._left:
            return b""
        chunk = await self._receive(min(amount, self._left))
        self._left -= len(chunk)
        if not self._left:
            self._give_back()
        return chunk

    def close(self) -> None:
        """Let go of the connection. One whose body is still on its way is closed."""
        self._socket.close()
        self._response.close()

    async def _receive(self, amount: int) -> bytes:
        if self._transport.is_closing():
            raise ConnectionAbortedError("the connection was closed here")
        chunk = None
        if self._is_more_here:
            # Others have a turn, however fast bytes come.
            await asyncio.sleep(0)
            chunk = self._what_is_here(amount)
        if chunk is None:
            self._wait_for(min(amount, _WORTH_A_CHUNK_BYTES))
            await self._is_readable(_SOON_SECONDS)
            chunk = self._what_is_here(amount)
        if chunk is None:
            chunk = await self._what_comes(amount)
        self._is_more_here = len(chunk) == amount
        return chunk

    async def _what_comes(self, amount: int) -> bytes:
        """Wait for any bytes, as long as aiohttp would."""
        self._wait_for(1)
        in_time = True
        while in_time:
            in_time = await self._is_readable(self._protocol.read_timeout)
            chunk = self._what_is_here(amount)
            if chunk is not None:
                return chunk
        raise TimeoutError("nothing came for too long")

    def _what_is_here(self, amount: int) -> bytes | None:
        try:
            return self._socket.recv(amount)
        except BlockingIOError:
            return None

    async def _is_readable(self, seconds: float | None) -> bool:
        """Wait for as many bytes as are waited for, or the end; False if neither came in time."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        timer = self._loop.call_later(seconds, _wake, waiter, False) if seconds else None
        self._loop.add_reader(self._socket, _wake, waiter, True)
        try:
            return await waiter
        finally:
            self._loop.remove_reader(self._socket)
            if timer is not None:
                timer.cancel()

    def _wait_for(self, count: int) -> None:
        """Be woken by so many bytes, not by fewer."""
        if count != self._waits_for:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._waits_for = count

    def _give_back(self) -> None:
        """Let the connection serve again, as after a body that aiohttp has read to the end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        is_quiet = _is_quiet(self._socket)
        self._socket.close()
        if not is_quiet:
            self._response.close()
            return
        self._protocol.resume_reading()
        self._response.content.feed_eof()


def _what_has_come(content: aiohttp.StreamReader) -> bytes:
    pieces = []
    # With the last piece gone the parser goes on with what it has held back, if anything.
    while piece := content.read_nowait():
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _is_quiet(connection: socket.socket) -> bool:
    """Tell whether neither more bytes nor the end have come."""
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _wake(waiter: asyncio.Future[bool], in_time: bool) -> None:
    if not waiter.done():
        waiter.set_result(in_time)
