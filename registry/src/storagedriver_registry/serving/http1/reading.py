"""Requests, as they come over a connection."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Protocol

import httptools

from storagedriver_registry.api.request import SEND_FILE, Scope
from storagedriver_registry.serving.http1.exchange import Exchange
from storagedriver_registry.serving.http1.head import fault_of, ordinary_head, target_of

logger = logging.getLogger(__name__)

# Tokens of many scopes are long; Go's servers take a mebibyte.
_MOST_HEAD_BYTES = 256 * 1024
# As many as hyper takes.
_MOST_HEADERS = 100

_NOTED = frozenset({b"expect", b"host", b"transfer-encoding"})
_EXTENSIONS: dict[str, dict[str, object]] = {SEND_FILE: {}}


class Receiver(Protocol):
    """The connection, as its reader needs it.

    Attributes:
        is_deaf: Whether nothing of what comes matters any more.
    """

    is_deaf: bool

    def begin(self, scope: Scope, *, is_kept: bool, expects: bool) -> Exchange | None:
        """Take a request whose head has come; None if it is refused."""

    def refuse(self, status: HTTPStatus) -> None:
        """Listen to nothing any more, and say why."""


class RequestReader:
    """Makes requests of bytes, as they come.

    Args:
        receiver: The connection.
        client: Host and port of who asks.
        server: Host and port that are asked.

    Attributes:
        exchange: The request whose body is being read.
    """

    def __init__(
        self, receiver: Receiver, client: tuple[str, int], server: tuple[str, int]
    ) -> None:
        self.exchange: Exchange | None = None
        self._receiver = receiver
        self._client = client
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._hosts = 0
        self._expects = False
        self._coding: bytes | None = None

    def feed(self, data: memoryview) -> None:
        """Read what has come."""
        # Set back by what the parser tells. What it gathers and does not tell must not be endless,
        # headers after a body neither.
        self._head_bytes += len(data)
        self._parse(data)
        if self._head_bytes > _MOST_HEAD_BYTES:
            self._receiver.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def close(self) -> None:
        """End. What refers to each other would be kept until the garbage is collected."""
        self.exchange = None
        del self._parser, self._receiver

    def _parse(self, data: memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # There is nothing else to be spoken here: the request is answered as any other. This
            # parser takes its body for what is spoken next, and so another one reads it.
            if not self._receiver.is_deaf:
                head = ordinary_head(self._parser, self._url, self._headers)
                self._parser = httptools.HttpRequestParser(self)
                self._parse(memoryview(head))
                self._parse(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            logger.error("a request could not be read", exc_info=error.__context__)
            self._receiver.refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
        except httptools.HttpParserInvalidMethodError:
            self._receiver.refuse(HTTPStatus.NOT_IMPLEMENTED)
        except httptools.HttpParserError:
            self._receiver.refuse(HTTPStatus.BAD_REQUEST)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url = b""
        self._headers = []
        self._head_bytes = self._hosts = 0
        self._expects = False
        self._coding = None

    def on_url(self, url: bytes) -> None:
        """Take the target, or a part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self.exchange is not None or self._receiver.is_deaf:
            return  # it is one of those after a body, which are not looked at
        if len(self._headers) == _MOST_HEADERS:
            self._receiver.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        name = name.lower()
        value = value.rstrip(b" \t")  # the parser leaves that; RFC 9110, section 5.5
        if name in _NOTED:
            if name == b"host":
                self._hosts += 1
            elif name == b"expect":
                self._expects = value.lower() == b"100-continue"
            else:
                self._coding = (self._coding or b"") + value.lower()
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand over the request, as far as it has come."""
        self._head_bytes = 0
        if self._receiver.is_deaf:
            return
        scope = self._scope()
        if isinstance(scope, HTTPStatus):
            self._receiver.refuse(scope)
        elif not self._parser.should_upgrade():  # otherwise it is read again
            self.exchange = self._receiver.begin(
                scope,
                is_kept=self._parser.should_keep_alive(),
                expects=self._expects and scope["http_version"] != "1.0",
            )

    def on_body(self, data: bytes) -> None:
        """Hand over a part of the body."""
        self._head_bytes = 0
        if self.exchange is not None and not self._receiver.is_deaf:
            self.exchange.feed(data)

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None and not self._receiver.is_deaf:
            exchange.is_whole = True
            exchange.wake()

    def _scope(self) -> Scope | HTTPStatus:
        """Give what ASGI says of the request that was read, or what is wrong with it."""
        version: str = self._parser.get_http_version()
        method = self._parser.get_method()
        fault = fault_of(method, version, self._coding, self._hosts)
        target = target_of(self._url)
        if fault is not None or target is None:
            return fault or HTTPStatus.BAD_REQUEST
        raw_path, path, query = target
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": "http",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
            "extensions": _EXTENSIONS,
        }
