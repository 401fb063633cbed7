"""An HTTP request, over what the ASGI server gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import aclosing, suppress
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from storagedriver_registry.api.addresses import remote_host
from storagedriver_registry.api.body import Body, receive_nothing
from storagedriver_registry.api.codes import SIZE_INVALID
from storagedriver_registry.api.errors import ApiError
from storagedriver_registry.auth import Grant
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage.bodies import Chunk
from storagedriver_registry.storage.errors import BodyInterruptedError

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Source: ASGI's "HTTP Extensions", "Path Send" and "Zero Copy Send".
SEND_PATH = "http.response.pathsend"
SEND_FILE = "http.response.zerocopysend"

_MOST_SKIPPED_BYTES = 8 * 1024 * 1024
_SKIPPING_SECONDS = 1.0
# More digits than any length has, fewer than Python reads as a number.
_MOST_LENGTH_DIGITS = 19


class Request:
    """One request.

    Attributes:
        method: In upper case.
        path: Path below where the registry is mounted.
        base: Path at which it is mounted, without a trailing `/`.
        route: Name of the route that the path is of; empty until that is found.
        grant: Who asks, and what is allowed to them; None where authentication is off.
        name, digest, tag, upload_id: What the path names, checked; empty or None where it does
            not name it. A manifest is named by a digest or by a tag.
        untagged: Tags that went with a manifest that was deleted.
    """

    # Of the class: few requests have any.
    untagged: Sequence[str] = ()

    def __init__(self, scope: Scope, receive: Receive, path: str, base: str) -> None:
        self.method: str = scope["method"]
        self.path = path
        self.base = base
        self.route = ""
        self.grant: Grant | None = None
        self.name = ""
        self.digest: Digest | None = None
        self.tag = ""
        self.upload_id = ""
        self._scope = scope
        self._receive = receive
        self._begun: Body | None = None

    @property
    def scheme(self) -> str:
        """`http` or `https`, as this server was asked."""
        scheme: str = self._scope.get("scheme", "http")
        return scheme

    @property
    def remote_host(self) -> str:
        """IP address of who asks, as proxies say or the connection; empty where there is none."""
        return remote_host(self._scope)

    def header(self, name: bytes) -> str | None:
        """Give a header, by its name in lower case."""
        for key, value in self._scope["headers"]:
            if key == name:
                text: str = value.decode("latin-1")
                return text
        return None

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; of one that is given twice, the last."""
        text = self._scope["query_string"].decode("latin-1")
        return dict(parse_qsl(text, keep_blank_values=True)) if text else {}

    def query_values(self, name: str) -> list[str]:
        """Give every value of one of the query's parameters, in order."""
        text = self._scope["query_string"].decode("latin-1")
        return [value for key, value in parse_qsl(text, keep_blank_values=True) if key == name]

    @cached_property
    def content_length(self) -> int | None:
        """Bytes that the client announces; None if it does not.

        Raises:
            ApiError: It is no number.
        """
        text = self.header(b"content-length")
        if text is None:
            return None
        if not text.isascii() or not text.isdecimal() or len(text) > _MOST_LENGTH_DIGITS:
            raise ApiError(SIZE_INVALID)
        return int(text)

    @property
    def required_digest(self) -> Digest:
        """The digest that the path of this resource always has."""
        assert self.digest is not None
        return self.digest

    def offers(self, extension: str) -> bool:
        """Tell whether the server takes messages of a kind that not every one does."""
        return extension in (self._scope.get("extensions") or ())

    def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Give the body as it comes, about half a MiB at a time.

        Raises:
            ApiError: Its length is no number.
            BodyInterruptedError: It ended early. A short body is never taken for a whole one.
        """
        return self._body.chunks()

    @property
    def _body(self) -> Body:
        if self._begun is None:
            length = self.content_length
            if length is None and self._has_no_body():
                length = 0
            self._begun = Body(self._receive, length)
        return self._begun

    def _has_no_body(self) -> bool:
        """Tell whether a request that announces no length has no body. RFC 9112, section 6.3."""
        version: str = self._scope.get("http_version", "")
        return version.startswith("1") and self.header(b"transfer-encoding") is None

    async def body(self, limit: int) -> bytes:
        """Give the whole body.

        Raises:
            ApiError: It is larger than `limit` bytes.
            BodyInterruptedError: It ended early.
        """
        if (self.content_length or 0) > limit:
            raise _too_large(limit)
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
        return bytes(body)

    async def skip_body(self) -> bool:
        """Read what nobody has read of the body, if it is not much and comes soon.

        An answer that leaves some of it is the last of its connection: what comes next there would
        be taken for a request. A server that closes it, and does not say so, loses the client's
        next request; and one that closes it while bytes come may lose the answer.

        Returns:
            Whether the connection can go on.
        """
        begun = self._begun
        if (begun is not None and begun.is_read) or not self._may_have_body():
            return True
        if begun is None and self.header(b"expect") is not None:
            return False  # the client waits for a word before it sends anything
        skipped = 0
        # That it is shorter or longer than announced was told, or does not matter any more.
        with suppress(TimeoutError, BodyInterruptedError, ApiError):
            async with asyncio.timeout(_SKIPPING_SECONDS), aclosing(self.chunks()) as chunks:
                async for chunk in chunks:
                    skipped += len(chunk)
                    if skipped > _MOST_SKIPPED_BYTES:
                        break
        if self._begun is None:
            return False
        self._begun.leave()
        return self._begun.is_read

    def _may_have_body(self) -> bool:
        """Tell whether there is a body that stands in the way of the connection's next request.

        Requests of HTTP/2 do not stand in each other's way. Bodies of GET are not looked for: that
        would cost each.
        """
        version: str = self._scope.get("http_version", "1")
        if self.method in ("GET", "HEAD") or not version.startswith("1"):
            return False
        if self.header(b"transfer-encoding") is not None:
            return True
        return self.header(b"content-length") not in (None, "0")

    def leave(self) -> None:
        """Let go of the connection: the request has its answer.

        What keeps the request for longer, as an error's traceback may, does not keep the server
        from closing a connection whose client still sends.
        """
        self._receive = receive_nothing
        if self._begun is not None:
            self._begun.leave()

    async def disconnected(self) -> None:
        """Return when the client has gone away. The body has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _too_large(limit: int) -> ApiError:
    return ApiError(SIZE_INVALID, message=f"more than {limit} bytes", status=413)
