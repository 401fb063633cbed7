"""All connections of a process."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

from storagedriver_registry.api.request import ASGIApp
from storagedriver_registry.serving.http1.accepting import Acceptor
from storagedriver_registry.serving.http1.blocks import Blocks
from storagedriver_registry.serving.http1.connection import Connection
from storagedriver_registry.serving.http1.sending import TURN_BYTES
from storagedriver_registry.serving.sockets import Listener

# As much as the kernel has of a stream that comes fast, and little enough for a processor's cache.
_BUFFER_BYTES = 256 * 1024
_LOOK_SECONDS = 10.0
_MOST_REFUSED = 100


class Http1Server:
    """A server of HTTP/1.1.

    Args:
        app: The application. It is started up already. If it has a true attribute `takes_views`,
            parts of bodies are views of memory, not always bytes.
        listener: A socket that is listened at.
        is_shared: Whether other processes listen at it too.
        most_connections: How many may be open at a time.
        idle_seconds: For how long one may be, with nothing to do.

    Attributes:
        app, loop, buffer, blocks, file_buffer, is_ending: What connections share.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: Listener,
        *,
        is_shared: bool,
        most_connections: int,
        idle_seconds: float,
    ) -> None:
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(_BUFFER_BYTES))
        self.blocks = Blocks() if getattr(app, "takes_views", False) else None
        self.file_buffer = memoryview(bytearray(TURN_BYTES))
        self.is_ending = False
        self._listener = listener
        self._is_shared = is_shared
        self._most = most_connections
        self._idle_seconds = idle_seconds
        self._connections: set[Connection] = set()
        self._refused: set[Connection] = set()
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()
        self._second = 0
        self._date = b""

    async def serve(self) -> None:
        """Answer requests until `stop`, and until those that have begun are answered."""
        acceptor = Acceptor(self._listener, lambda: Connection(self), is_shared=self._is_shared)
        looking = self.loop.create_task(self._look())
        try:
            await self._stopped.wait()
            await acceptor.stop()
            self.is_ending = True
            for connection in list(self._connections):
                connection.stop()
            if self._connections or self._refused:
                await self._ended.wait()
        finally:
            acceptor.close()
            looking.cancel()

    def stop(self) -> None:
        """Take no more connections, and end those that there are with what they are at."""
        self._stopped.set()

    def cut_off(self) -> set[asyncio.Future[Any]]:
        """Break off what is being answered; give what may take a moment."""
        tasks = {connection.cancel() for connection in self._connections}
        return {task for task in tasks if task is not None}

    def date(self) -> bytes:
        """Give the header `Date`. RFC 9110, section 6.6.1."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._date = b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._date

    def is_taken(self, connection: Connection) -> bool:
        """Take note of a connection that begins, unless there are too many."""
        if len(self._connections) >= self._most:
            return False
        self._connections.add(connection)
        return True

    def is_refused(self, connection: Connection) -> bool:
        """Take note of one that is to be told so, unless there are too many of those."""
        # They take nobody's place, but a descriptor each.
        if len(self._refused) >= _MOST_REFUSED:
            return False
        self._refused.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        """Take note of one that is over."""
        self._connections.discard(connection)
        self._refused.discard(connection)
        if self._stopped.is_set() and not (self._connections or self._refused):
            self._ended.set()

    async def _look(self) -> None:
        """Close connections that have had nothing to do for long, now and then."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            begun = self.loop.time() - self._idle_seconds
            for connection in list(self._connections):
                if connection.idle_since is not None and connection.idle_since < begun:
                    connection.close()
