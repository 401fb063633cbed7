"""The access log, and the ids of requests.

A line has the names that docker/distribution gives to a request's fields. An id comes from the
client's `X-Request-Id`, or is made; the answer has it, and so has every line of the request.
"""

from __future__ import annotations

import logging
import random
import string
import time

from storagedriver_registry.api.addresses import remote_address
from storagedriver_registry.api.request import Message, Scope, Send
from storagedriver_registry.api.response import sent_bytes
from storagedriver_registry.logs import Event, current_request

_logger = logging.getLogger("storagedriver_registry.access")

_MOST_ID_BYTES = 128
_OF_IDS = f"{string.ascii_letters}{string.digits}-._~:/+=@".encode()


class AccessLog:
    """Notes requests, a line for each.

    Args:
        disabled: Write no lines; ids there are all the same.
    """

    def __init__(self, *, disabled: bool = False) -> None:
        self._disabled = disabled

    def begin(self, scope: Scope, send: Send) -> RequestEntry:
        """Note that a request has come; `RequestEntry.finish` has to be called."""
        if self._disabled or not _logger.isEnabledFor(logging.INFO):
            return RequestEntry(scope, send)
        return _LoggedEntry(scope, send)


class RequestEntry:
    """One request, without a line in the access log.

    Attributes:
        id: The request's id.
        send: Sends messages of the answer, until `finish`.
    """

    __slots__ = ("_scope", "id", "send")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.send = send
        self._scope = scope
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _is_sane(value):
                self.id: bytes = value
                break
        else:
            self.id = b"%032x" % random.getrandbits(128)
        # Not taken back: with the request its task ends, and what it has begun belongs to it.
        current_request.set(self)

    def fields(self) -> dict[str, object]:
        """Give the fields that each line of the request has."""
        return {
            "http.request.id": self.id.decode(),
            "http.request.method": self._scope["method"],
            "http.request.uri": _uri(self._scope),
            "http.request.remoteaddr": remote_address(self._scope),
        }

    def finish(self, user: str) -> None:
        """Note that it is done with, and let go of the connection.

        Args:
            user: Who asked; empty if that is not known.
        """
        self.send = _send_nothing


class _LoggedEntry(RequestEntry):
    """One request, with its line in the access log."""

    __slots__ = ("_announced", "_content_type", "_started", "_status", "_under", "_written")

    def __init__(self, scope: Scope, send: Send) -> None:
        super().__init__(scope, self._count)
        self._under = send
        self._started = time.monotonic()
        self._status = 0
        self._content_type = b""
        self._announced = 0
        self._written = 0

    async def _count(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            for name, value in message["headers"]:
                if name == b"content-type":
                    self._content_type = value
                elif name == b"content-length":
                    self._announced = int(value)
        await self._under(message)
        self._written += sent_bytes(message, self._announced)

    def finish(self, user: str) -> None:
        """Write the line, and let go of the connection."""
        super().finish(user)
        self._under = _send_nothing
        milliseconds = (time.monotonic() - self._started) * 1000
        fields = {
            **self.fields(),
            "http.request.host": _header(self._scope, b"host"),
            "http.request.useragent": _header(self._scope, b"user-agent"),
            "http.response.status": self._status,
            "http.response.written": self._written,
            "http.response.contenttype": self._content_type.decode("latin-1"),
            "http.response.duration": f"{milliseconds:.3f}ms",
        }
        if user:
            fields["auth.user.name"] = user
        event = Event("response completed", fields)
        # Made by hand: a logger would look for the caller, which is known.
        _logger.handle(logging.LogRecord(_logger.name, logging.INFO, "", 0, event, (), None))


async def _send_nothing(message: Message) -> None:
    """Be ASGI's `send` of a connection that was left."""


def _is_sane(given: bytes) -> bool:
    """Tell whether an id that a client has given does no harm in a log."""
    return 0 < len(given) <= _MOST_ID_BYTES and not given.translate(None, _OF_IDS)


def _uri(scope: Scope) -> str:
    path: str = (scope.get("raw_path") or b"").decode("latin-1") or scope["path"]
    query = scope["query_string"].decode("latin-1")
    # A ticket is a word that vouches for an upload session.
    parts = [part for part in query.split("&") if not part.startswith("_state=")]
    query = "&".join(parts)
    return f"{path}?{query}" if query else path


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""
