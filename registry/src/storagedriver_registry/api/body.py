"""A request's body, as the ASGI server gives it, gathered to pieces that are worth a thread's turn.

A client that does not know a body's length sends it in chunks, of 32 KiB most often. Each is a
message, and costs the server a hop between threads and back, as much as hashing it. So several
messages are asked for at once where the server answers in the order in which it was asked, which
ASGI does not promise: the server of this process says so by `Body.asks_ahead`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, ClassVar

from storagedriver_registry.storage.bodies import Chunk
from storagedriver_registry.storage.errors import BodyInterruptedError

# No more than the server of HTTP/1.1 gathers by itself, or its pieces would be joined once more.
_GATHERED_BYTES = 512 * 1024
# A body that is over by then costs nothing more than its own messages.
_ALONE_BYTES = 64 * 1024
_AHEAD_BYTES = 1024 * 1024
_LEAST_AHEAD = 8
_MOST_AHEAD = 32


async def receive_nothing() -> dict[str, Any]:
    """Be ASGI's `receive` of a connection that was left."""
    return {"type": "http.disconnect"}


class Body:
    """The body of one request.

    Args:
        receive: ASGI's.
        length: Bytes that the client has announced; None if it has not.

    Attributes:
        asks_ahead: Whether this process's server answers in the order in which it was asked.
        is_read: Whether all of it was read.
    """

    asks_ahead: ClassVar[bool] = False

    def __init__(self, receive: Callable[[], Awaitable[Any]], length: int | None) -> None:
        self.is_read = length == 0
        self._receive = receive
        self._length = length
        self._received = 0
        self._asked: deque[Awaitable[Any]] = deque()

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Give what has not been read yet, about half a MiB at a time.

        Raises:
            BodyInterruptedError: It ended early, or late. What had come was given before.
        """
        pieces: list[Chunk] = []
        size = 0
        asked, length = self._asked, self._length
        while not self.is_read:
            message = await (asked.popleft() if asked else self._receive())
            if message["type"] == "http.disconnect":
                self.leave()
                if pieces:
                    yield b"".join(pieces)
                raise BodyInterruptedError(f"the client went away after {self._received} bytes")
            piece: Chunk = message.get("body", b"")
            if piece:
                pieces.append(piece)
                size += len(piece)
                self._received += len(piece)
            # The message that says so may be one more, and a hop between threads.
            if not message.get("more_body", False) or self._received == length:
                self.is_read = True
                self.leave()
            elif len(asked) < _LEAST_AHEAD and self.asks_ahead and self._received >= _ALONE_BYTES:
                self._ask_ahead(len(piece))
            if size >= _GATHERED_BYTES or (self.is_read and pieces):
                whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces, size = [], 0
                yield whole
        if length is not None and self._received != length:
            raise BodyInterruptedError(f"{self._received} bytes came of {length}")

    def leave(self) -> None:
        """Take back what was asked for: nobody waits for the rest.

        A server keeps a connection for as long as there is somebody who could read from it.
        """
        self._receive = receive_nothing
        while self._asked:
            asked: Any = self._asked.popleft()
            # What measures a server's calls makes coroutines of its futures.
            (asked.close if isinstance(asked, Coroutine) else asked.cancel)()

    def _ask_ahead(self, size: int) -> None:
        """Ask for as many messages as there would be bytes for."""
        wanted = min(_MOST_AHEAD, _AHEAD_BYTES // max(size, 1))
        while len(self._asked) < wanted:
            self._asked.append(self._receive())
