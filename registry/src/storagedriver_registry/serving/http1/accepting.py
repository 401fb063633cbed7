"""Connections that are taken from a listener, which other processes may have too.

All of them are woken up when a client comes. The first that is awake would take every connection
that waits before the next one is, and one processor would answer all that a client opens at once.
So the first ones after a while are taken one by one, with a pause after each for others.

```text
quiet ──► one, pause ──► one, pause ──► … ──► as they come ──► quiet
          └───────────── 32 of them ───────┘
```
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from storagedriver_registry.serving.sockets import Listener

logger = logging.getLogger(__name__)

# Longer than another process needs to wake up, and what loops count in.
_PAUSE_SECONDS = 0.001
# More than one client opens. A crowd waits for some 30 milliseconds, once.
_ONE_BY_ONE = 32
_QUIET_SECONDS = 0.1

# Where nobody shares, in one turn of the loop, which has others to serve.
_MOST_AT_ONCE = 64

_RETRY_SECONDS = 1.0


class Acceptor:
    """Takes connections from when it is made until it is closed.

    Args:
        listener: What is listened at.
        make: Makes what serves a connection.
        is_shared: Whether other processes take connections from it too.
    """

    def __init__(
        self, listener: Listener, make: Callable[[], asyncio.BaseProtocol], *, is_shared: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make = make
        self._is_shared = is_shared
        self._left = 0
        self._taken_at = float("-inf")
        self._pause: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[object]] = set()
        listener.socket.setblocking(False)
        self._look()

    def close(self) -> None:
        """Let clients be refused from now on."""
        if self._listener.socket.fileno() >= 0:
            self._look_away()
            self._listener.close()

    async def stop(self) -> None:
        """Close; connections that were taken are served when this returns."""
        self.close()
        if self._connecting:
            await asyncio.wait(self._connecting)

    def _look(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.socket.fileno(), self._take)

    def _look_away(self, seconds: float | None = None) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.socket.fileno())
        if seconds is not None:
            self._pause = self._loop.call_later(seconds, self._look)

    def _take(self) -> None:
        if not self._is_shared:
            for _ in range(_MOST_AT_ONCE):
                if not self._take_one():
                    break
        elif self._take_one():
            self._leave_the_next()

    def _take_one(self) -> bool:
        """Take a connection; tell whether there was one."""
        try:
            accepted, _ = self._listener.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            # Most likely too many files are open. Clients wait until some are closed.
            logger.error("connections cannot be taken for a second: %s", error.strerror)
            self._look_away(_RETRY_SECONDS)
            return False
        serving = self._loop.connect_accepted_socket(self._make, accepted)
        connecting = self._loop.create_task(serving)
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        return True

    def _leave_the_next(self) -> None:
        """Leave the next connection to others for a moment, unless many come."""
        now = self._loop.time()
        if now - self._taken_at > _QUIET_SECONDS:
            self._left = _ONE_BY_ONE
        self._taken_at = now
        if self._left:
            self._left -= 1
            self._look_away(_PAUSE_SECONDS)
