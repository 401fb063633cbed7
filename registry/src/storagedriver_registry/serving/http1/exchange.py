"""One request and its answer, as ASGI has them."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Protocol

from storagedriver_registry.api.request import SEND_FILE, ASGIApp, Message, Scope
from storagedriver_registry.serving.http1.blocks import BLOCK_BYTES, Blocks
from storagedriver_registry.serving.http1.sending import FileSender

logger = logging.getLogger(__name__)

GATHERED_BYTES = BLOCK_BYTES
"""What of a large body an application is given at a time, and what waits before no more is read."""

# A body is handed out as it comes until so much of it has come: most requests have no more.
_AT_ONCE_BYTES = 64 * 1024
# A client may send very small pieces, and each is an object.
_MOST_PIECES = 16 * 1024
# Up to this size an answer's head and body are sent by one call.
_JOINED_BYTES = 64 * 1024

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY = frozenset({204, 304})
_OF_FRAMING = frozenset({b"content-length", b"connection", b"transfer-encoding"})
_FIRST_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Link(Protocol):
    """The connection, as an exchange needs it.

    Attributes:
        is_full: Whether more waits to be sent than should.
    """

    is_full: bool

    @property
    def is_ending(self) -> bool:
        """Whether the answer that is begun next is the last."""

    def date(self) -> bytes:
        """Give the header `Date`."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    async def drain(self) -> None:
        """Wait until less waits to be sent, or nobody is there."""

    async def flush(self) -> None:
        """Wait until nothing waits to be sent, or nobody is there."""

    def file_sender(self) -> FileSender:
        """Give what sends files; it does not wait for what waits to be sent."""

    def resume(self) -> None:
        """Receive more."""

    def end(self, exchange: Exchange) -> None:
        """Take note that it is over."""


class Exchange:
    """One request and its answer.

    Args:
        link: The connection.
        scope: ASGI's.
        is_kept: Whether the client lets the connection go on.
        expects: Whether the client waits for a word before it sends the body.
        blocks: Where parts of a large body are gathered, which the application then takes as views;
            None where it takes bytes alone.

    Attributes:
        is_kept: Whether the connection can go on after it.
        is_whole: Whether all of the request has come.
        is_complete: Whether all of the answer was sent.
        is_over: Whether the application is done with it.
        is_full: Whether as much of the body waits as should.
    """

    __slots__ = (
        *("_block", "_blocks", "_broken", "_chunked", "_expects", "_files", "_gone", "_head"),
        *("_left", "_link", "_loop", "_pieces", "_received", "_scope", "_size", "_started"),
        *("_told", "_waiting", "_without_body", "is_complete", "is_kept", "is_over", "is_whole"),
    )

    def __init__(
        self,
        link: Link,
        loop: asyncio.AbstractEventLoop,
        scope: Scope,
        *,
        is_kept: bool,
        expects: bool,
        blocks: Blocks | None,
    ) -> None:
        self.is_kept = is_kept
        self.is_whole = self.is_complete = self.is_over = False
        self._link = link
        self._loop = loop
        self._scope = scope
        self._expects = expects
        self._blocks = blocks
        # The one that is being filled, and where in it the first byte was put.
        self._block: tuple[memoryview, int] | None = None
        self._pieces: list[bytes | memoryview] = []
        self._size = self._received = 0
        # Told of the body's end; no more of it comes; the client is gone.
        self._told = self._broken = self._gone = False
        self._waiting: asyncio.Future[None] | None = None
        self._started = self._chunked = self._without_body = False
        self._head = b""
        self._left: int | None = None
        self._files: FileSender | None = None

    @property
    def is_full(self) -> bool:
        """Whether as much of the body waits as should."""
        return self._size >= GATHERED_BYTES or len(self._pieces) >= _MOST_PIECES

    def feed(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.is_over:
            return
        self._size += len(data)
        if self._blocks is None or self._received <= _AT_ONCE_BYTES:
            self._pieces.append(data)
            self._received += len(data)
            return
        view = memoryview(data)
        while view:
            view = view[self._fill(self._blocks, view) :]

    def _fill(self, blocks: Blocks, data: memoryview) -> int:
        """Put what fits in a block, and give how much that was.

        It is put where it would be if all of the body were in blocks, which its beginning is not:
        what begins a page of the object begins one of memory, and a disk takes it from there.
        """
        at = self._received % BLOCK_BYTES
        block, begun = self._block or (blocks.take(), at)
        end = min(at + len(data), BLOCK_BYTES)
        block[at:end] = data[: end - at]
        self._received += end - at
        self._block = block, begun
        if end == BLOCK_BYTES:
            self._finish_block()
        return end - at

    def _finish_block(self) -> None:
        """Let the application have the block that is being filled."""
        if self._block is not None:
            block, begun = self._block
            self._block = None
            self._pieces.append(block[begun : (self._received - 1) % BLOCK_BYTES + 1])

    def leave(self) -> None:
        """Note that the client is gone."""
        self._gone = True
        if self._files is not None:
            self._files.leave()
        self.break_off()

    def break_off(self) -> None:
        """Note that no more of the request comes. It may still be answered."""
        self._broken = True
        self.wake()

    def wake(self) -> None:
        """Let go on who waits, if there is anything for them."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        if self._broken or self.is_complete or self._is_due():
            waiting.set_result(None)

    def _is_due(self) -> bool:
        if self._told:
            return False
        if self.is_whole or self.is_full:
            return True
        return self._size > 0 and (self._broken or self._received <= _AT_ONCE_BYTES)

    async def run(self, app: ASGIApp) -> None:
        """Have it answered. What the application raises cuts the connection."""
        try:
            await app(self._scope, self.receive, self.send)
            if not (self._started or self._broken):
                raise RuntimeError("an application has not answered")
        except Exception as error:
            logger.error("a request failed: %s", error, exc_info=error)
            if not self._started or self._head:
                await self._apologize()
        finally:
            self.is_over = True
            self._pieces.clear()
            self._block = None
            self._size = 0
            if self._files is not None:
                self._files.close()
            self._link.end(self)

    async def receive(self) -> Message:
        """Be ASGI's `receive`, for one caller at a time.

        A large body is given by large pieces: a wake-up for each packet costs as much as its bytes.
        """
        if self._expects:
            self._expects = False
            # Within an answer that is being sent it would be a part of that.
            if not self._broken and (self._head or not self._started):
                self._link.write(_CONTINUE)
        while not self._is_due():
            if self._broken or self.is_complete:
                return {"type": "http.disconnect"}
            waiting = self._waiting = self._loop.create_future()
            try:
                await waiting
            finally:
                # One who was cancelled gets here when another may wait already.
                if self._waiting is waiting:
                    self._waiting = None
        if self.is_whole or self._broken:
            self._finish_block()
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._size -= len(body)
        self._told = self.is_whole
        if not self.is_whole:
            self._link.resume()
        return {"type": "http.request", "body": body, "more_body": not self.is_whole}

    async def send(self, message: Message) -> None:
        """Be ASGI's `send`. What is sent to a client that is gone goes nowhere."""
        if message["type"] == "http.response.start":
            if self._started:
                raise RuntimeError("an answer begins that has begun already")
            self._head = self._make_head(message)
            self._started = True
            return
        if self.is_complete or not self._started:
            raise RuntimeError("an answer goes on that is over, or has not begun")
        is_file = message["type"] == SEND_FILE and not self._without_body
        body: bytes = b"" if is_file or self._without_body else message.get("body", b"")
        is_last = not message.get("more_body", False)
        self._count(message["count"] if is_file else len(body), is_last=is_last)
        if is_file:
            await self._send_file(message)
        else:
            self._write(_chunk(body, is_last=is_last) if self._chunked else body)
        if is_last and not self._gone:
            self.is_complete = True
            self.wake()
        if self._link.is_full and not self._gone:
            await self._link.drain()

    def _count(self, size: int, *, is_last: bool) -> None:
        """Note how much of the body is sent, and refuse what is not as announced."""
        if self._left is None:
            return
        self._left -= size
        if self._left < 0:
            raise RuntimeError("an answer has more bytes than it has announced")
        if is_last and self._left:
            raise RuntimeError(f"an answer has {self._left} bytes less than it has announced")

    async def _send_file(self, message: Message) -> None:
        if self._left is None:
            raise RuntimeError("an answer that is a file needs a length")
        await self._link.flush()
        if self._gone:
            await asyncio.sleep(0)  # who watches the client has to learn of it
            return
        if self._files is None:
            self._files = self._link.file_sender()
        file, offset, count = message["file"].fileno(), message["offset"], message["count"]
        head, self._head = self._head, b""
        is_sent = False
        try:
            is_sent = await self._files.send(head, file, offset, count)
        finally:
            if not is_sent:
                self.leave()  # what comes next would be taken for what is missing

    def _write(self, body: bytes) -> None:
        head, self._head = self._head, b""
        if self._gone:
            return
        if len(body) <= _JOINED_BYTES:
            body = head + body
        elif head:
            self._link.write(head)
        if body:
            self._link.write(body)

    def _make_head(self, message: Message) -> bytes:
        """Give the lines before the body, and settle how long that is."""
        status: int = message["status"]
        lines = [_FIRST_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, self._link.date()]
        length: int | None = None
        for name, value in message.get("headers", ()):
            if name in _OF_FRAMING:
                if name == b"content-length":
                    length = int(value)
                else:
                    if name == b"connection" and value.lower() == b"close":
                        self.is_kept = False
                    continue  # how it is framed, and what comes after it, is said below
            lines.append(b"%b: %b\r\n" % (name, value))
        self._without_body = self._scope["method"] == "HEAD" or status in _WITHOUT_BODY
        is_old = self._scope["http_version"] == "1.0"
        if not self._without_body:
            self._left = length
            if length is None and is_old:
                # Its end would be the connection's, and one that is cut off like a whole one.
                raise RuntimeError("an answer to HTTP/1.0 needs a length")
            if length is None:
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        # Of a client that was not told to send its body, nobody knows whether it does.
        if self._link.is_ending or self._expects:
            self.is_kept = False
        if not self.is_kept:
            lines.append(b"connection: close\r\n")
        elif is_old:
            lines.append(b"connection: keep-alive\r\n")
        head = b"".join(lines)
        # A line more than was put in would be another header, or the beginning of a body.
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise ValueError("a header has more than one line")
        return head + b"\r\n"

    async def _apologize(self) -> None:
        """Say that there is no answer; of another, nothing was sent yet."""
        self._started = self._chunked = False
        self._head = b""
        body = b"Internal Server Error"
        headers = [
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _chunk(body: bytes, *, is_last: bool) -> bytes:
    """Frame a part of a body whose length was not announced. RFC 9112, section 7.1."""
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if is_last else chunk
