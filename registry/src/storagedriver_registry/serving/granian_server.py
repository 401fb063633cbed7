"""TLS and HTTP/2: granian, in this process.

Its embedded server runs in threads of its own, and hands each request over to the event loop. What
is spoken in the clear, in HTTP/1.1, goes without that: `http1`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import granian
from granian import net
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from storagedriver_registry.api.body import Body
from storagedriver_registry.api.request import ASGIApp
from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.sockets import BACKLOG, Listener
from storagedriver_registry.serving.tls import Tls

# A client with HTTP/2 that answers nothing for so long is gone; else it would keep a server that is
# to stop.
_PING_MILLISECONDS = 30_000
_PONG_SECONDS = 60

# Its embedded server runs a current-thread runtime of tokio's, whose queue of what is spawned from
# elsewhere is first in, first out, as is the lock at a request's body. So several `receive()` get
# its parts in their order. Of other versions that is not known.
_ANSWERS_IN_ORDER = granian.__version__.startswith("2.8.")

# Its types say neither that it is there nor what it takes.
_SocketHolder: Any = vars(net)["SocketHolder"]


class GranianServer:
    """A server of HTTP/1.1 and HTTP/2, with TLS or without.

    Args:
        app: The application. It is started up already.
        listener: A socket that is listened at.
        tls: TLS.
        http2: Whether HTTP/2 is spoken too.
        most_connections: How many may be open at a time.
        idle_seconds: For how long one may be, with nothing to do.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: Listener,
        tls: Tls,
        *,
        http2: bool,
        most_connections: int,
        idle_seconds: float,
    ) -> None:
        self._server = _ServerOnSocket(
            listener,
            app,
            # The application is started up and shut down by the worker, where errors have types.
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto if http2 else HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=round(idle_seconds * 1000)),
            http2_settings=HTTP2Settings(
                keep_alive_interval=_PING_MILLISECONDS, keep_alive_timeout=_PONG_SECONDS
            ),
            websockets=False,
            backlog=BACKLOG,
            # What granian counts is connections, idle ones too.
            backpressure=most_connections,
            # Leave the handlers of logging alone.
            log_dictconfig={"incremental": True, "handlers": {}, "loggers": {}},
        )
        context: Any = tls.context
        self._server.ssl_ctx = context

    async def serve(self) -> None:
        """Answer requests until `stop`, and until those that have begun are answered.

        Raises:
            StartError: It cannot start.
        """
        Body.asks_ahead = _ANSWERS_IN_ORDER
        try:
            await self._server.serve()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Rust's panics are no `Exception`.
            raise StartError(f"the server cannot start: {error}") from error

    def stop(self) -> None:
        """Take no more connections, and end those that there are with what they are at."""
        stop: Callable[[], None] = self._server.stop
        stop()

    def cut_off(self) -> set[asyncio.Future[Any]]:
        """Break off what is being answered; give what may take a moment."""
        requests: set[asyncio.Future[Any]] = {
            task for task in asyncio.all_tasks() if _is_request(task)
        }
        _silence()
        for task in requests:
            task.cancel()
        return requests


class _ServerOnSocket(Server):
    """Granian's embedded server, on a socket that is bound already.

    Its own are bound with SO_REUSEPORT in each process: shared with strangers, and a connection is
    lost if the process that it was given to dies.
    """

    def __init__(self, listener: Listener, app: ASGIApp, **settings: Any) -> None:
        level = logging.getLogger("_granian").level
        super().__init__(app, **settings)
        logging.getLogger("_granian").setLevel(level)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        is_unix = self._listener.is_unix
        # From here on granian closes it: when it stops, before the last requests have ended.
        descriptor = self._listener.socket.detach()
        self._sfd: Any = descriptor
        self._shd: Any = _SocketHolder(descriptor, is_unix, BACKLOG)


def _silence() -> None:
    """Let it not write a traceback for each request that is cancelled: that was said already."""
    granian = logging.getLogger("_granian")
    granian.addHandler(logging.NullHandler())
    granian.propagate = False


def _is_request(task: asyncio.Task[Any]) -> bool:
    # Granian keeps no list of them, and one here would cost each request its share.
    return getattr(task.get_coro(), "__name__", "") == "future_watcher"
