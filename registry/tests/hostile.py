"""A registry in this process that does what a test tells it to, wrong things too."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web
from storagedriver_registry.client import Clock, RegistryClient, Retries

from registry.tests.client import sha256
from registry.tests.serving import Certificates

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


DATA = os.urandom(2_999_999) + b"."  # what is made wrong ends otherwise
DIGEST = sha256(DATA)
BLOB = f"/v2/a/blobs/{DIGEST}"
UPLOADS = "/v2/a/blobs/uploads/"
PATIENCES = (0.2, 2.0, 20.0)
"""Seconds that a client has for what never comes. What does come takes less than the first of them,
unless this process itself stands still for so long: then it may be tried again with the next."""


@dataclass
class FakeTime:
    """A clock that goes on only when it is slept on, or moved."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def retries(self, **options: Any) -> Retries:
        """Give a policy that goes by this clock, and adds no chance."""
        clock = Clock(lambda: self.now, lambda: self.now, self.sleep)
        return Retries(clock=clock, jitter=lambda: 1.0, **options)


class HostileRegistry:
    """Answers with the handlers that a test sets, and notes what was asked.

    Attributes:
        url: Where it is.
        host: Host and port.
        requests: Method, path and headers of each request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
        self._handlers: dict[tuple[str, str], Handler] = {}

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def on(self, method: str, path: str, handler: Handler) -> None:
        """Answer requests of a method, to a path or to all that begin with `PATH*`."""
        self._handlers[method, path] = handler

    def asked(self, method: str, path: str = "") -> list[Mapping[str, str]]:
        """Give the headers of the requests of a method to paths that have this in them."""
        return [headers for one, where, headers in self.requests if one == method and path in where]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, request.headers))
        for (method, path), handler in self._handlers.items():
            is_it = request.path == path or (
                path.endswith("*") and request.path.startswith(path[:-1])
            )
            if method == request.method and is_it:
                return await handler(request)
        return web.json_response({"errors": [{"code": "NAME_UNKNOWN"}]}, status=404)


def tls_of(made: Certificates) -> ssl.SSLContext:
    """Give what a registry needs to speak TLS with the certificate of the server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.key)
    return context


@asynccontextmanager
async def hostile(tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileRegistry]:
    """Run one, at a free port of the loopback; with a context, over https."""
    registry = HostileRegistry()
    # Nobody reads the rest of what a test cuts off.
    server = web.Server(registry.handle, lingering_time=0)
    runner = web.ServerRunner(server, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    scheme = "http" if tls is None else "https"
    registry.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield registry
    finally:
        # What still waits to be sent, or TLS, would keep them open until the client is heard of.
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()


def with_hostile(
    test: Callable[[HostileRegistry, RegistryClient, FakeTime], Coroutine[Any, Any, None]],
    **options: Any,
) -> None:
    """Run a test with such a registry, a client of it, and a clock that the client goes by."""

    async def main() -> None:
        time = FakeTime()
        async with (
            hostile() as registry,
            RegistryClient(
                registry.host, plain_http=True, retries=time.retries(), **options
            ) as client,
        ):
            await test(registry, client, time)

    asyncio.run(main())


def sent(data: bytes, status: int = 200, **headers: str) -> Handler:
    """Answer with this."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return web.Response(body=data, status=status, headers=named)

    return handler


def failing(status: int, code: str = "UNKNOWN", **headers: str) -> Handler:
    """Answer with an error."""
    body = f'{{"errors": [{{"code": "{code}", "message": "no", "detail": {{"a": 1}}}}]}}'
    return sent(body.encode(), status, Content_Type="application/json", **headers)


def in_turn(*handlers: Handler) -> Handler:
    """Answer with one after the other, and then with the last one."""
    left = list(handlers)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return handler


def cut(data: bytes, length: int) -> Handler:
    """Announce all of `data` from where the request wants it, send so much, and reset."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        begin = request.http_range.start or 0
        status = 206 if begin else 200
        response = web.StreamResponse(status=status)
        response.content_length = len(data) - begin
        if begin:
            response.headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        await response.prepare(request)
        await response.write(data[begin : begin + length])
        if begin + length < len(data):
            # The client has to have read what was sent: a reset throws away what waits.
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        return response

    return handler


def halting(data: bytes, length: int, over: asyncio.Event) -> Handler:
    """Announce all of `data`, send so much, and no more until it is over."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[:length])
        await over.wait()
        return response

    return handler


async def read(client: RegistryClient, **options: Any) -> bytes:
    """Read the blob that there is."""
    async with await client.repository("a").blobs.open(DIGEST, **options) as reader:
        return await reader.read()
