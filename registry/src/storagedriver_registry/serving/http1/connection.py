"""One connection: what comes over it, and in which order it is answered."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context
from http import HTTPStatus
from typing import Protocol, cast

from storagedriver_registry.api.request import ASGIApp, Scope
from storagedriver_registry.serving.http1.blocks import Blocks
from storagedriver_registry.serving.http1.exchange import Exchange
from storagedriver_registry.serving.http1.reading import RequestReader
from storagedriver_registry.serving.http1.sending import FileSender

# Of requests that are sent before earlier ones are answered.
_MOST_WAITING = 64
# A client that still sends when it has its last answer would lose that if its bytes were refused.
_LINGERING_SECONDS = 2.0

_NO_ADDRESS = ("", 0)


class Shared(Protocol):
    """What the connections of a server share.

    Attributes:
        app: The application.
        loop: The event loop.
        buffer: What each of them receives into, one at a time.
        blocks: Where large bodies are gathered; None where the application takes bytes alone.
        file_buffer: What parts of files are read into on their way, one at a time.
        is_ending: Whether the server stops.
    """

    app: ASGIApp
    loop: asyncio.AbstractEventLoop
    buffer: memoryview
    blocks: Blocks | None
    file_buffer: memoryview
    is_ending: bool

    def date(self) -> bytes:
        """Give the header `Date`."""

    def is_taken(self, connection: Connection) -> bool:
        """Take note of one that begins, unless there are too many."""

    def is_refused(self, connection: Connection) -> bool:
        """Take note of one that is to be told so, unless there are too many of those."""

    def forget(self, connection: Connection) -> None:
        """Take note of one that is over, with all that was asked over it."""


class Connection(asyncio.BufferedProtocol):
    """A connection. Requests are read as they come, and answered one after the other.

    ```text
    bytes ──► reader ──► exchange that is read ──► waiting… ──► exchange that is answered ──► bytes
    ```

    Attributes:
        is_deaf: Whether nothing of what comes matters any more.
        is_full: Whether more waits to be sent than should.
        idle_since: When there was nothing to do any more but to send, by the loop's clock; None
            while there is.
    """

    def __init__(self, shared: Shared) -> None:
        self.is_deaf = self.is_full = False
        self.idle_since: float | None = shared.loop.time()
        self._shared = shared
        self._loop = shared.loop
        self._transport: asyncio.Transport
        self._reader: RequestReader
        self._answering: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Exchange] = deque()
        self._is_paused = self._is_lost = False
        self._is_stopping = shared.is_ending
        self._context = copy_context()
        self._last_words = b""
        self._drained: asyncio.Future[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None

    @property
    def is_ending(self) -> bool:
        """Whether the answer that is begun next is the last."""
        return self._is_stopping and not self._waiting

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's are none by their type.
        self._transport = cast("asyncio.Transport", transport)
        client, server = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        self._reader = RequestReader(self, _address(client), _address(server))
        if self._shared.is_taken(self):
            if self._shared.is_ending:
                self.stop()
        elif self._shared.is_refused(self):
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self.is_deaf = True
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """End: nobody is there any more."""
        self.is_deaf = self._is_lost = True
        self._waiting.clear()
        for exchange in (self._reader.exchange, self._answering):
            if exchange is not None:
                exchange.leave()
        self.resume_writing()
        if self._lingering is not None:
            self._lingering.cancel()
        self._reader.close()
        if self._task is None:
            self._shared.forget(self)

    def get_buffer(self, hint: int) -> memoryview:
        """Give where the next bytes go."""
        return self._shared.buffer

    def buffer_updated(self, size: int) -> None:
        """Take what has come."""
        if self.is_deaf:
            return
        self._reader.feed(self._shared.buffer[:size])
        exchange = self._reader.exchange
        if exchange is not None:
            exchange.wake()
            if exchange.is_full:
                self._pause()

    def eof_received(self) -> bool:
        """Answer what has come whole, as Go's servers do; who watches the client is told."""
        self._is_stopping = True
        if self._answering is None or self._reader.exchange is not None:
            return False
        self._answering.break_off()
        return True

    def pause_writing(self) -> None:
        """Note that more waits to be sent than should."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Note that the client has taken enough of it."""
        self.is_full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # What the reader calls.

    def begin(self, scope: Scope, *, is_kept: bool, expects: bool) -> Exchange | None:
        """Take a request whose head has come; None if it is refused."""
        if len(self._waiting) == _MOST_WAITING:
            self.refuse(HTTPStatus.TOO_MANY_REQUESTS)
            return None
        exchange = Exchange(
            self,
            self._loop,
            scope,
            is_kept=is_kept,
            expects=expects,
            blocks=self._shared.blocks,
        )
        if self._answering is None:
            self._answer(exchange)
        else:
            self._waiting.append(exchange)
            self._pause()
        return exchange

    def refuse(self, status: HTTPStatus) -> None:
        """Listen to nothing any more, and say why, after what was asked before."""
        if self.is_deaf:
            return
        self.is_deaf = True
        body = status.phrase.encode()
        answer = (
            b"HTTP/1.1 %d %b\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, body, len(body), body)
        )
        reading, self._reader.exchange = self._reader.exchange, None
        if reading is not None and not reading.is_over:
            # The request itself is broken. Whoever reads it learns so, and answers.
            reading.is_kept = False
            reading.break_off()
        elif reading is not None:
            self._close(is_whole=False)  # it has its answer
        elif self._answering is not None:
            self._last_words = answer
        else:
            self._transport.write(answer)
            self._close(is_whole=False)

    # What exchanges call.

    def date(self) -> bytes:
        """Give the header `Date`."""
        return self._shared.date()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until less waits to be sent, or nobody is there."""
        while self.is_full:
            self._drained = self._loop.create_future()
            await self._drained

    async def flush(self) -> None:
        """Wait until nothing waits to be sent, or nobody is there."""
        if not self._is_lost and self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(high=0)
            await self.drain()
            if not self._is_lost:
                self._transport.set_write_buffer_limits()

    def file_sender(self) -> FileSender:
        """Give what sends files; it does not wait for what waits to be sent."""
        connection = self._transport.get_extra_info("socket").fileno()
        return FileSender(self._loop, connection, self._shared.file_buffer)

    def resume(self) -> None:
        """Receive more, if that was put off."""
        if self._is_paused and not self._waiting:
            self._is_paused = False
            self._transport.resume_reading()

    def end(self, exchange: Exchange) -> None:
        """Take note that an exchange is over, and turn to the next."""
        self._answering = self._task = None
        if self._is_lost:
            self._shared.forget(self)
        if not exchange.is_complete:
            # Nobody should take what was sent for the whole.
            self._transport.abort()
        if self._transport.is_closing():
            return
        # What was not read yet would make a reset of the end, and that may lose the answer.
        is_whole = exchange.is_whole and not self._is_paused
        if not exchange.is_kept:
            self._close(is_whole=is_whole)
        elif self._waiting:
            self._answer(self._waiting.popleft())
        elif self._last_words:
            self._transport.write(self._last_words)
            self._close(is_whole=False)
        elif self.is_ending:
            self._close(is_whole=is_whole)
        else:
            self.idle_since = self._loop.time()
        self.resume()

    # What the server calls.

    def stop(self) -> None:
        """End as soon as what was asked is answered."""
        self._is_stopping = True
        if self._answering is None and not self.is_deaf:
            self._close(is_whole=self._reader.exchange is None)

    def cancel(self) -> asyncio.Task[None] | None:
        """Break off what is being answered, or sent; give the task."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()
        return self._task

    def close(self) -> None:
        """End at once, when there is nothing to do, even if not all was taken that was sent."""
        self._transport.abort()

    # Inside.

    def _answer(self, exchange: Exchange) -> None:
        self.idle_since = None
        self._answering = exchange
        # Of its own: it may be the task of the request before that is at work here.
        context = self._context.copy()
        self._task = self._loop.create_task(exchange.run(self._shared.app), context=context)

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _close(self, *, is_whole: bool) -> None:
        """Send what waits to be sent, and end; while the client still sends, a moment later."""
        self.is_deaf = True
        self.idle_since = self._loop.time()
        if is_whole:
            self._transport.close()
            return
        self._transport.write_eof()
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        self._linger()

    def _linger(self) -> None:
        self._lingering = self._loop.call_later(_LINGERING_SECONDS, self._cut)

    def _cut(self) -> None:
        """End what lingers, unless the client has yet to take what was sent."""
        if self._transport.get_write_buffer_size():
            self._linger()
        else:
            self._transport.abort()


def _address(given: object) -> tuple[str, int]:
    """Give host and port; of a Unix socket its path, if it has one, and 0."""
    if isinstance(given, tuple):
        return given[0], given[1]
    return (given, 0) if isinstance(given, str) else _NO_ADDRESS
