"""Noticing that a peer takes nothing of what is sent: aiohttp looks only at what comes."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

_LOOKS = 8
"""In the time that nothing may move: it is noticed an eighth of it late at most."""


class SendStalledError(aiohttp.ServerTimeoutError):
    """The peer has taken nothing for too long."""


def watched_requests(seconds: float) -> type[aiohttp.ClientRequest]:
    """Give a class of requests that fail when nothing of their bodies is taken for so long.

    Whether the next bytes of a body are slow to come does not matter: only what waits to be sent
    counts, and any byte of it that goes is enough.
    """

    class Watched(aiohttp.ClientRequest):
        # Later versions of aiohttp give it more arguments.
        async def write_bytes(self, *arguments: Any, **named: Any) -> None:
            writer, connection = arguments[:2]
            transport = connection.transport
            watch = _Watch(writer, connection, seconds)
            try:
                await super().write_bytes(*arguments, **named)
            except BaseException:
                # Closed as usual, it would stay open until what waits is taken.
                if transport is not None:
                    transport.abort()
                raise
            finally:
                watch.end()

    return Watched


class _Watch:
    """Looks at a connection now and then while a body is written to it.

    Args:
        writer: Counts the bytes that were given to the connection.
        connection: The connection.
        seconds: That nothing may move.
    """

    def __init__(self, writer: Any, connection: Any, seconds: float) -> None:
        self._writer = writer
        self._connection = connection
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._state = (-1, 0)
        self._since = self._loop.time()
        self._timer = self._loop.call_later(seconds / _LOOKS, self._look)

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        transport, protocol = self._connection.transport, self._connection.protocol
        if transport is None or protocol is None:
            return
        waiting = transport.get_write_buffer_size()
        state, now = (self._writer.output_size, waiting), self._loop.time()
        if waiting == 0 or state != self._state:
            self._state, self._since = state, now
        elif now - self._since >= self._seconds:
            # The request fails by this, and its writing is cancelled.
            protocol.set_exception(SendStalledError())
            return
        self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)
