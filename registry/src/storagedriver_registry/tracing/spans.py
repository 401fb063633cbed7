"""Spans of requests and of the storage.

Source of the attributes: OpenTelemetry's semantic conventions, "HTTP server".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, get_tracer, use_span

from storagedriver_core import OperationEvent, StorageDriverError
from storagedriver_registry.api.request import ASGIApp, Message, Receive, Scope, Send

# From here on a status is the server's fault.
_SERVER_ERROR = 500


def make_tracer() -> Tracer:
    """Give the tracer of the registry."""
    return get_tracer("storagedriver_registry", version("storagedriver-registry"))


class RequestTracer:
    """An ASGI application around another, with a span for each request.

    A span goes on with the trace that the client names (W3C's `traceparent`).

    Args:
        app: The other.
        route_of: Gives the name of the route that a request is for; empty if there is none.
    """

    def __init__(self, app: ASGIApp, route_of: Callable[[Scope], str]) -> None:
        self._app = app
        self._route_of = route_of
        self._tracer = make_tracer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application, of requests alone."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        route = self._route_of(scope)
        span = self._tracer.start_span(
            f"{scope['method']} {route}".rstrip(),
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "http.route": route,
                "url.path": scope["path"],
                "url.scheme": scope.get("scheme", "http"),
                "server.address": headers.get("host", ""),
                "user_agent.original": headers.get("user-agent", ""),
            },
        )

        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                status: int = message["status"]
                span.set_attribute("http.response.status_code", status)
                if status >= _SERVER_ERROR:
                    span.set_status(Status(StatusCode.ERROR))
            await send(message)

        with use_span(span, end_on_exit=True):
            await self._app(scope, receive, traced)


def trace_storage() -> Callable[[OperationEvent], None]:
    """Give an observer that makes a span of each operation of a storage.

    It is told when an operation is over, so that nothing stands on the way of the bytes.
    """
    tracer = make_tracer()

    def observe(event: OperationEvent) -> None:
        end = time.time_ns()
        attributes: dict[str, str | int] = {
            "storagedriver.driver": event.driver_name,
            "storagedriver.operation": event.operation,
            "storagedriver.path": event.path,
        }
        if event.size:
            attributes["storagedriver.bytes"] = event.size
        span = tracer.start_span(
            f"{event.driver_name} {event.operation}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=end - round(event.duration * 1e9),
        )
        if isinstance(event.error, StorageDriverError):
            span.set_attribute("error.type", type(event.error).__name__)
            # What is not there is an answer.
            if event.error.temporary:
                span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    return observe
