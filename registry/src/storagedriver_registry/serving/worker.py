"""One process that serves: granian on uvloop.

```text
  start up ──► listen ──► serve ──► drain ──► shut down
     │ signal              │ signal   │ too long: requests are cancelled
     └──► end              └──────────┘
```
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import granian
import uvloop
from granian import net
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from storagedriver_registry.api.body import Body
from storagedriver_registry.api.request import ASGIApp
from storagedriver_registry.serving.allocation import keep_freed_memory
from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.lifespan import Lifespan
from storagedriver_registry.serving.options import ServingOptions
from storagedriver_registry.serving.signals import die_of_the_next
from storagedriver_registry.serving.sockets import BACKLOG, Listener
from storagedriver_registry.serving.tls import Tls

if TYPE_CHECKING:
    from storagedriver_registry.serving.debug import DebugServer

logger = logging.getLogger(__name__)

# Longer than clients keep an idle connection (Go's 90 seconds): they close it, and do not find it
# closed when they send the next request.
_IDLE_MILLISECONDS = 120_000

# A client with HTTP/2 that answers nothing for so long is gone; else it would keep a server that is
# to stop.
_PING_MILLISECONDS = 30_000
_PONG_SECONDS = 60

_MOST_CONNECTIONS = 10_000
# Each connection is a descriptor, and so may be what it asks for.
_DESCRIPTORS_PER_CONNECTION = 2

# Granian sets itself up in the loop's next turns, or fails to.
_TURNS_TO_START = 10
_CANCEL_SECONDS = 5
_SHUTDOWN_SECONDS = 30

# Its embedded server runs a current-thread runtime of tokio's, whose queue of what is spawned from
# elsewhere is first in, first out, as is the lock at a request's body. So several `receive()` get
# its parts in their order. Of other versions that is not known.
_ANSWERS_IN_ORDER = granian.__version__.startswith("2.8.")

# Its types say neither that it is there nor what it takes.
_SocketHolder: Any = vars(net)["SocketHolder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker serves, and what it tells.

    Attributes:
        app: The application.
        listener: The socket.
        tls: TLS.
        options: How.
        prepare: Called when the application has started up, before the first request.
        on_ready: Called when requests are answered.
        on_stop: Called when no more connections are taken.
        debug: The debug server; None for none.
    """

    app: ASGIApp
    listener: Listener
    tls: Tls
    options: ServingOptions
    prepare: Callable[[], Awaitable[None]] | None
    on_ready: Callable[[], None]
    on_stop: Callable[[], None]
    debug: DebugServer | None = None


def work(job: Job, signals: Sequence[signal.Signals], parent: int | None = None) -> bool:
    """Serve until one of the signals; requests that are being answered then are finished.

    Args:
        job: What to serve.
        signals: Those that stop it.
        parent: A descriptor that can be read when the parent is gone, which stops it too.

    Returns:
        Whether every request was finished; False if some took too long. The process should then
        be ended without ado: granian's threads are still at work.

    Raises:
        StartError: The application does not start up, or the address cannot be used.
    """
    _raise_descriptors()
    keep_freed_memory()
    return uvloop.run(_work(job, signals, parent))


async def _work(job: Job, signals: Sequence[signal.Signals], parent: int | None) -> bool:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in signals:
        loop.add_signal_handler(number, stopped.set)
    if parent is not None:
        loop.add_reader(parent, _stop_reading, loop, parent, stopped)
    lifespan = Lifespan(job.app)
    try:
        starting = asyncio.ensure_future(_start(job, lifespan))
        if not await _until(stopped, starting):
            starting.cancel()
            return True
        if job.debug is not None:
            job.debug.start()
        return await _serve(job, stopped, signals)
    finally:
        # Until here it can be asked how things are.
        if job.debug is not None:
            job.debug.stop()
        await _shut_down(lifespan)


async def _start(job: Job, lifespan: Lifespan) -> None:
    await lifespan.start()
    if job.prepare is not None:
        try:
            await job.prepare()
        except Exception as error:
            raise StartError(str(error)) from error


async def _serve(job: Job, stopped: asyncio.Event, signals: Sequence[signal.Signals]) -> bool:
    job.listener.listen()
    Body.asks_ahead = _ANSWERS_IN_ORDER
    server = _make_server(job)
    serving = asyncio.ensure_future(_run(server))
    for _ in range(_TURNS_TO_START):
        await asyncio.sleep(0)
    if not serving.done():
        job.on_ready()
    if await _until(stopped, serving):
        raise StartError("the server ended by itself")
    # Who asks again does not want to wait for the requests that are still being answered.
    die_of_the_next(asyncio.get_running_loop(), signals)
    job.on_stop()
    stop: Callable[[], None] = server.stop
    stop()
    await asyncio.wait({serving}, timeout=job.options.drain_seconds or None)
    if serving.done():
        await serving
        return True
    return await _cut_off(serving)


async def _run(server: Server) -> None:
    try:
        await server.serve()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        # Rust's panics are no `Exception`.
        raise StartError(f"the server cannot start: {error}") from error


async def _cut_off(serving: asyncio.Future[None]) -> bool:
    """End the requests that take too long. What they have made durable stays so."""
    requests: set[asyncio.Future[Any]] = {task for task in asyncio.all_tasks() if _is_request(task)}
    logger.error(
        "requests were cut off that were not finished within http.draintimeout: %d at work",
        len(requests),
    )
    _silence_granian()
    for task in requests:
        task.cancel()
    await asyncio.wait(requests | {serving}, timeout=_CANCEL_SECONDS)
    return False


def _silence_granian() -> None:
    """Let it not write a traceback for each request that is cancelled: that was said already."""
    granian = logging.getLogger("_granian")
    granian.addHandler(logging.NullHandler())
    granian.propagate = False


def _is_request(task: asyncio.Task[Any]) -> bool:
    # Granian keeps no list of them, and one here would cost each request its share.
    return getattr(task.get_coro(), "__name__", "") == "future_watcher"


async def _shut_down(lifespan: Lifespan) -> None:
    try:
        async with asyncio.timeout(_SHUTDOWN_SECONDS):
            await lifespan.stop()
    except TimeoutError:
        logger.error("the application was not shut down within %d seconds", _SHUTDOWN_SECONDS)


async def _until(stopped: asyncio.Event, task: asyncio.Future[None]) -> bool:
    """Wait until a task is done, or is to be stopped; tell whether it is done."""
    waiting: asyncio.Future[Any] = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if task.done():
        await task
        return True
    return False


def _make_server(job: Job) -> Server:
    server = _ServerOnSocket(
        job.listener,
        job.app,
        # The application is started up and shut down here, where errors have types.
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto if job.options.http2 else HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_IDLE_MILLISECONDS),
        http2_settings=HTTP2Settings(
            keep_alive_interval=_PING_MILLISECONDS, keep_alive_timeout=_PONG_SECONDS
        ),
        websockets=False,
        backlog=BACKLOG,
        # What granian counts is connections, idle ones too.
        backpressure=_most_connections(),
        # Leave the handlers of logging alone.
        log_dictconfig={"incremental": True, "handlers": {}, "loggers": {}},
    )
    context: Any = job.tls.context
    server.ssl_ctx = context
    return server


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


def _raise_descriptors() -> None:
    """Open as many files as the system allows this process, as Go's programs do."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _most_connections() -> int:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(1, min(_MOST_CONNECTIONS, allowed // _DESCRIPTORS_PER_CONNECTION))


def _stop_reading(loop: asyncio.AbstractEventLoop, descriptor: int, stopped: asyncio.Event) -> None:
    loop.remove_reader(descriptor)
    stopped.set()
