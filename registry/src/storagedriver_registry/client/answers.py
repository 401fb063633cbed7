"""Answers of a registry, and the errors that some of them are."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from storagedriver_registry.client.bodies import chunks_of
from storagedriver_registry.client.errors import (
    CertificateError,
    ConnectionFailedError,
    ErrorEntry,
    InvalidAnswerError,
    RegistryError,
    ResponseError,
    StalledError,
    error_class,
)
from storagedriver_registry.client.retrying import Clock, seconds_of
from storagedriver_registry.client.stalls import SendStalledError

if TYPE_CHECKING:
    from typing import Self

_MOST_OF_AN_ERROR = 64 * 1024

NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""What aiohttp raises when something on the way fails."""


class Answer:
    """A good answer, whose body is still to come. Leaving `async with` lets go of it.

    Attributes:
        status: Its status.
        headers: Its headers, by names in any case.
        url: What answered, after redirects. It may be signed: it is confidential.

    Args:
        response: The answer.
        host: Who gave it.
        silence: Seconds after which it counts as stalled.
    """

    def __init__(self, response: aiohttp.ClientResponse, host: str, silence: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url: URL = response.url
        self._response = response
        self._host = host
        self._silence = silence

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; what was not read of the body is lost."""
        # A connection whose body was read was given back already, and this does nothing.
        self._response.close()

    @property
    def media_type(self) -> str:
        """The `Content-Type` without parameters; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip()

    def length(self) -> int:
        """Give the `Content-Length`.

        Raises:
            InvalidAnswerError: There is none.
        """
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdigit()):
            raise InvalidAnswerError("an answer without Content-Length", host=self._host)
        return int(text)

    async def read(self, most: int) -> bytes:
        """Read the whole body.

        Args:
            most: Bytes that it may have.

        Raises:
            InvalidAnswerError: It has more.
            ConnectionFailedError: It breaks off.
        """
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > most:
                raise InvalidAnswerError(f"a body of more than {most} bytes", host=self._host)
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body in chunks as they come.

        Raises:
            ConnectionFailedError: It breaks off.
        """
        try:
            async for chunk in chunks_of(self._response):
                yield chunk
        except NETWORK_ERRORS as error:
            asked = f"{self._response.method} {self._response.url.path}"
            raise translated(error, self._host, asked, self._silence) from error


async def response_error(
    response: aiohttp.ClientResponse, host: str, clock: Clock
) -> ResponseError:
    """Make the error that an answer is, and let go of it.

    Args:
        response: The answer.
        host: Who gave it.
        clock: The time.
    """
    entries = _entries(await beginning(response))
    code = entries[0].code if entries else ""
    said = "; ".join(_text(entry) for entry in entries) or response.reason or "no reason given"
    method, path = response.method, response.url.path
    return error_class(response.status, code)(
        f"{method} {path}: {response.status} {said}",
        host=host,
        status=response.status,
        method=method,
        path=path,
        errors=entries,
        retry_after=seconds_of(response.headers.get("Retry-After", ""), clock),
    )


def translated(error: Exception, host: str, asked: str, seconds: float) -> RegistryError:
    """Make the client's error of one of aiohttp's, or of the system's.

    Args:
        error: The error.
        host: Who was asked.
        asked: Method and path of the request.
        seconds: After how long it counts as stalled.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(f"its certificate: {error.certificate_error}", host=host)
    reason = getattr(error, "os_error", error)
    if isinstance(reason, ssl.SSLError) and "CERTIFICATE" in (reason.reason or ""):
        return CertificateError(f"TLS: {reason.reason}", host=host)
    if isinstance(error, TimeoutError):
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            stalled = "there is no connection after"
        elif isinstance(error, SendStalledError):
            stalled = f"{asked}: nothing of what is sent has been taken for"
        else:
            stalled = f"{asked}: nothing has come for"
        return StalledError(f"{stalled} {seconds:g} s", host=host, seconds=seconds)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.ClientResponseError):
        return InvalidAnswerError(f"no HTTP as it should be: {type(error).__name__}", host=host)
    said = _said(reason) or type(error).__name__
    return ConnectionFailedError(f"the connection failed: {said}", host=host)


def _said(reason: object) -> str | None:
    """Give the system's words for what it refused, where asyncio has put its own over them."""
    # Numbers of the resolver's and of TLS are none of the system's.
    of_others = isinstance(reason, socket.gaierror | ssl.SSLError)
    if isinstance(reason, OSError) and reason.errno and not of_others:
        return os.strerror(reason.errno)
    return getattr(reason, "strerror", None)


async def beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read as much of a body as errors and redirects have, and let go of the answer.

    That it breaks off changes nothing. If it was read to its end, its connection is used again.
    """
    data = b""
    try:
        while len(data) < _MOST_OF_AN_ERROR and (chunk := await response.content.readany()):
            data += chunk
    except NETWORK_ERRORS:
        pass
    finally:
        response.close()
    return data


def _entries(body: bytes) -> list[ErrorEntry]:
    try:
        listed = json.loads(body)["errors"]
        return [
            ErrorEntry(str(one.get("code", "")), str(one.get("message", "")), one.get("detail"))
            for one in listed
        ]
    # It may be anything at all: a page of some proxy's, or nothing.
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []


def _text(entry: ErrorEntry) -> str:
    text = f"{entry.code}: {entry.message}" if entry.message else entry.code
    # It goes to a terminal.
    return "".join(each if each.isprintable() else "?" for each in text[:500])
