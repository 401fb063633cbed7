"""Serving the application: granian within this process, on uvloop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.errors import FatalError
from granian.server.embed import Server

from storagedriver_registry.api.request import ASGIApp, Receive, Scope, Send
from storagedriver_registry.app import create_app
from storagedriver_registry.configuration import Configuration

_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_BACKLOG = 1024
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StartError(Exception):
    """The server could not start; the text says why."""


def serve(configuration: Configuration, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests that are being answered then are finished.

    A second signal ends the process at once, which harms nothing but those requests.

    Args:
        configuration: What to serve, and where.
        announce: Called with the address once requests are answered.

    Raises:
        ConfigurationError: There is no storage.
        StartError: The storage cannot be opened, or the address not be used.
    """
    settings = configuration.settings
    host, port = settings.http.address
    serve_application(
        create_app(configuration),
        *(host, port, settings.log.level),
        lambda origin: announce(f"{origin}/v2/"),
    )


def serve_application(
    app: ASGIApp, host: str, port: int, level: str, announce: Callable[[str], None]
) -> None:
    """Serve any application as `serve` does the registry.

    Args:
        app: What to serve.
        host: A name or address of this machine.
        port: The port.
        level: The least severity that is logged, as configurations name it.
        announce: Called with scheme, host and port once requests are answered.

    Raises:
        StartError: The application does not start up, or the address cannot be used.
    """
    _set_up_logging(level)
    watched = _Watched(app, lambda: announce(_origin(host, port)))
    address = _free_address(host, port)
    try:
        uvloop.run(_serve(watched, address, port))
    except FatalError as error:
        raise StartError(watched.failure or str(error)) from error


async def _serve(app: _Watched, address: str, port: int) -> None:
    server = Server(
        app,
        address=address,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_BACKLOG,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()

    stop_server: Callable[[], None] = server.stop

    def stop() -> None:
        stop_server()
        # Who asks again does not want to wait for the requests that are still being answered.
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    await server.serve()


def _free_address(host: str, port: int) -> str:
    """Give the IP address of a host at which nobody listens.

    The server itself would share the port with whoever does, another registry for instance.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        raise StartError(f"cannot listen at {host}:{port}: {error.strerror}") from error
    return str(address[0])


class _Watched:
    """The application, with an eye on how its start-up ends."""

    def __init__(self, app: ASGIApp, on_ready: Callable[[], None]) -> None:
        self.failure = ""
        self._app = app
        self._on_ready = on_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            return await self._app(scope, receive, send)

        async def watched(message: Scope) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.failure = message["message"]
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._on_ready()

        await self._app(scope, receive, watched)


def _origin(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _set_up_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=_LEVELS[level],
        format='time="%(asctime)s" level=%(levelname)s logger=%(name)s msg="%(message)s"',
    )
    # It warns at each start of being embedded, which is meant to be so.
    logging.getLogger("_granian").setLevel(logging.ERROR)
