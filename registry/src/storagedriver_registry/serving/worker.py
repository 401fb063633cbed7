"""One process that serves, on uvloop.

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
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

from storagedriver_registry.api.request import ASGIApp
from storagedriver_registry.serving.allocation import keep_freed_memory
from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.http1 import Http1Server
from storagedriver_registry.serving.lifespan import Lifespan
from storagedriver_registry.serving.options import ServingOptions
from storagedriver_registry.serving.signals import die_of_the_next
from storagedriver_registry.serving.sockets import Listener
from storagedriver_registry.serving.tls import Tls

if TYPE_CHECKING:
    from storagedriver_registry.serving.debug import DebugServer

logger = logging.getLogger(__name__)

# Longer than clients keep an idle connection (Go's 90 seconds): they close it, and do not find it
# closed when they send the next request.
_IDLE_SECONDS = 120.0

_MOST_CONNECTIONS = 10_000
# Each connection is a descriptor, and two more while a file is sent over it.
_DESCRIPTORS_PER_CONNECTION = 3

# A server sets itself up in the loop's next turns, or fails to.
_TURNS_TO_START = 10
_CANCEL_SECONDS = 5
_SHUTDOWN_SECONDS = 30


class Server(Protocol):
    """What answers requests."""

    async def serve(self) -> None:
        """Answer requests until `stop`, and until those that have begun are answered."""

    def stop(self) -> None:
        """Take no more connections, and end those that there are with what they are at."""

    def cut_off(self) -> set[asyncio.Future[Any]]:
        """Break off what is being answered; give what may take a moment."""


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
        be ended without ado: threads are still at work.

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
    server = _make_server(job)
    serving: asyncio.Future[None] = asyncio.ensure_future(server.serve())
    for _ in range(_TURNS_TO_START):
        await asyncio.sleep(0)
    if not serving.done():
        job.on_ready()
    if await _until(stopped, serving):
        raise StartError("the server ended by itself")
    # Who asks again does not want to wait for the requests that are still being answered.
    die_of_the_next(asyncio.get_running_loop(), signals)
    job.on_stop()
    server.stop()
    await asyncio.wait({serving}, timeout=job.options.drain_seconds or None)
    if serving.done():
        await serving
        return True
    return await _cut_off(server, serving)


async def _cut_off(server: Server, serving: asyncio.Future[None]) -> bool:
    """End the requests that take too long. What they have made durable stays so."""
    requests = server.cut_off()
    logger.error(
        "requests were cut off that were not finished within http.draintimeout: %d at work",
        len(requests),
    )
    await asyncio.wait(requests | {serving}, timeout=_CANCEL_SECONDS)
    return False


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
    if job.options.tls is None and not job.options.http2:
        return Http1Server(
            job.app,
            job.listener,
            is_shared=job.options.workers > 1,
            most_connections=_most_connections(),
            idle_seconds=_IDLE_SECONDS,
        )
    # Imported here: it costs each worker memory.
    from storagedriver_registry.serving.granian_server import GranianServer

    return GranianServer(
        job.app,
        job.listener,
        job.tls,
        http2=job.options.http2,
        most_connections=_most_connections(),
        idle_seconds=_IDLE_SECONDS,
    )


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
