"""Measures requests."""

from __future__ import annotations

import time
from collections.abc import Callable

from storagedriver_registry.api.request import ASGIApp, Message, Receive, Scope, Send
from storagedriver_registry.api.response import sent_bytes
from storagedriver_registry.metrics.meters import Meters

# Source: distribution's `registry/api/v2`, names of routes, `-` by `_` in labels.
_HANDLERS = {
    "base": "base",
    "manifest": "manifest",
    "tags": "tags",
    "blob": "blob",
    "uploads": "blob_upload",
    "upload": "blob_upload_chunk",
    "catalog": "catalog",
}
_NONE = "none"
# A client's own method may be anything, and each value of a label is a series for ever.
_METHODS = frozenset(("get", "head", "post", "put", "patch", "delete", "options"))
_OTHER = "unknown"
# No answer was begun, since the client went away; nginx's.
_NO_ANSWER = 499


class RequestMeter:
    """An ASGI application around another, that measures what passes.

    Args:
        app: The other.
        meters: What is measured.
        route_of: Gives the name of the route that a request is for; empty if there is none.
    """

    def __init__(self, app: ASGIApp, meters: Meters, route_of: Callable[[Scope], str]) -> None:
        self._app = app
        self._meters = meters
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application, of requests alone."""
        route = self._route_of(scope)
        handler = _HANDLERS.get(route, route) or _NONE
        method = scope["method"].lower()
        passing = _Passing(receive, send)
        in_flight = self._meters.requests_in_flight.labels(handler)
        in_flight.inc()
        started = time.perf_counter()
        try:
            await self._app(scope, passing.receive, passing.send)
        finally:
            seconds = time.perf_counter() - started
            in_flight.dec()
            self._note(handler, method if method in _METHODS else _OTHER, passing, seconds)

    def _note(self, handler: str, method: str, passing: _Passing, seconds: float) -> None:
        meters = self._meters
        meters.requests.labels(handler, str(passing.status), method).inc()
        meters.request_seconds.labels(handler, method).observe(seconds)
        meters.request_bytes.labels(handler).observe(passing.received)
        meters.response_bytes.labels(handler).observe(passing.sent)


class _Passing:
    """What passes of one request and its answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._announced = 0
        self.status = _NO_ANSWER
        self.received = 0
        self.sent = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message["headers"]:
                if name == b"content-length":
                    self._announced = int(value)
        await self._send(message)
        self.sent += sent_bytes(message, self._announced)
