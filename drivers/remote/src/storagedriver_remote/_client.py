"""Requests to the other side, and what their failures mean."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import secrets
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from storagedriver_core import (
    Buffer,
    ConfigurationError,
    Outcome,
    StorageDriverError,
    UnavailableError,
)
from storagedriver_remote._body import ContentBody
from storagedriver_remote._errors import error_from, error_of_status
from storagedriver_remote._frames import MEDIA_TYPE as FRAMES
from storagedriver_remote._frames import FrameReader

VERSION = 1
"""The version of the protocol that both sides speak."""

PLACE = f"/v{VERSION}"
REQUEST_ID = "X-Request-Id"
SESSION = "X-Storagedriver-Session"
CHECKSUM = "X-Body-CRC32"

KEEP_ALIVE_SECONDS = 600.0
"""How long a connection may be idle; a server keeps it for longer."""

_CONNECT_SECONDS = 10.0
# How long an answer may take is for the timeout middleware to say.
_PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
_READ_BYTES = 256 * 1024

_logger = logging.getLogger(__name__)


class Client:
    """A session with a server.

    Args:
        address: `unix:/path` or `http://host:port`.
        token: The bearer token; empty for none.
    """

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self._token = token
        self._session: aiohttp.ClientSession | None = None
        self._pulse: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the sessions; connections are made as they are needed."""
        headers = {SESSION: secrets.token_hex(8)}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        # How many calls run at once is for the limit middleware to say; and a reader that is open
        # holds a connection, while its owner may ask for another.
        self._session = self._make_session(headers, limit=0)
        # A connection of its own, which no cancelled call closes: its end is this process's.
        self._pulse = self._make_session(headers, limit=1)

    def _make_session(self, headers: Mapping[str, str], *, limit: int) -> aiohttp.ClientSession:
        path = self.address.removeprefix("unix:")
        connector: aiohttp.BaseConnector
        if path != self.address:
            self._base = "http://localhost"
            connector = aiohttp.UnixConnector(
                path, limit=limit, keepalive_timeout=KEEP_ALIVE_SECONDS
            )
        else:
            self._base = self.address.rstrip("/")
            connector = aiohttp.TCPConnector(limit=limit, keepalive_timeout=KEEP_ALIVE_SECONDS)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=_PATIENCE,
            headers=headers,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BYTES,
            skip_auto_headers=["Accept-Encoding", "User-Agent"],
        )

    async def aclose(self) -> None:
        """Close every connection."""
        sessions = self._session, self._pulse
        self._session = self._pulse = None
        for session in sessions:
            if session is not None:
                await session.close()

    async def handshake(self) -> Any:
        """Ask who is there.

        Raises:
            ConfigurationError: Nobody who speaks this version.
        """
        said = await self._over(self._pulse, "GET", "handshake", None, "none")
        if not isinstance(said, dict) or said.get("protocol") != VERSION:
            raise ConfigurationError(f"{self.address} does not speak version {VERSION}")
        return said

    async def renew(self) -> None:
        """Say that this process lives, and goes on with what it holds."""
        await self._over(self._pulse, "POST", "renew", _body({}, None), "none")

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        data: Sequence[Buffer] | None = None,
        *,
        changes: bool = True,
    ) -> Any:
        """Make a call, and give its result.

        Args:
            name: Of the call.
            arguments: As JSON.
            data: The bytes that it carries; None if it carries none.
            changes: Whether it may change anything, so that nobody knows what a lost answer said.
        """
        outcome: Outcome = "unknown" if changes else "none"
        return await self._over(self._session, "POST", name, _body(arguments, data), outcome)

    async def stream(self, name: str, arguments: Mapping[str, Any]) -> Stream:
        """Make a call whose answer comes in frames. It changes nothing."""
        body = _body(arguments, None)
        answer = await self._request(self._session, "POST", name, body, "none")
        try:
            if answer.status != 200 or answer.content_type != FRAMES:
                await self._result(answer, "none")
                raise UnavailableError("the answer is not one in frames")
            return Stream(answer)
        except BaseException:
            answer.close()
            raise

    async def _over(
        self,
        session: aiohttp.ClientSession | None,
        method: str,
        name: str,
        body: bytes | ContentBody | None,
        outcome: Outcome,
    ) -> Any:
        answer = await self._request(session, method, name, body, outcome)
        try:
            return await self._result(answer, outcome)
        except BaseException:
            answer.close()
            raise

    async def _request(
        self,
        session: aiohttp.ClientSession | None,
        method: str,
        name: str,
        body: bytes | ContentBody | None,
        outcome: Outcome,
    ) -> aiohttp.ClientResponse:
        if session is None:
            raise UnavailableError("not connected")
        request_id = secrets.token_hex(8)
        headers = {REQUEST_ID: request_id}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/json"
            headers[CHECKSUM] = f"{zlib.crc32(body):08x}"
        try:
            return await session.request(
                method,
                f"{self._base}{PLACE}/{name}",
                data=body,
                headers=headers,
                allow_redirects=False,
            )
        except aiohttp.ClientConnectorError as error:
            # A socket refuses at once. Who tries again and again must not keep the loop from
            # seeing that the program has ended, and from starting it again.
            await asyncio.sleep(0)
            raise UnavailableError(f"no connection to {self.address}: {_reason(error)}") from error
        except aiohttp.ConnectionTimeoutError as error:
            message = f"no connection to {self.address} in {_CONNECT_SECONDS:g} s"
            raise UnavailableError(message) from error
        except (aiohttp.ClientError, OSError) as error:
            _logger.debug("request %s (%s) broke off: %s", request_id, name, error)
            raise UnavailableError("the connection broke off", outcome=outcome) from error

    async def _result(self, answer: aiohttp.ClientResponse, outcome: Outcome) -> Any:
        try:
            said = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError("the connection broke off", outcome=outcome) from error
        # Read first, raised after: what was said is the error, and no accident on the way to it.
        try:
            value = json.loads(said) if answer.content_type == "application/json" else None
        except ValueError:
            value = None
        if isinstance(value, dict):
            if answer.status == 200 and "result" in value:
                return value["result"]
            if "error" in value:
                raise _error(value["error"], outcome)
        if answer.status == 200:
            raise UnavailableError("the answer is not the protocol's", outcome=outcome)
        if answer.status == 404:
            raise ConfigurationError(f"{self.address} does not speak version {VERSION}")
        raise error_of_status(answer.status, answer.headers, outcome)


class Stream:
    """An answer that comes in frames.

    Attributes:
        frames: What takes it apart.
    """

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.frames = FrameReader(self._read)

    async def aclose(self) -> None:
        """Let go. What has not been read does not come: the other side stops."""
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()

    async def _read(self) -> bytes:
        try:
            return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError("the connection broke off") from error


def _body(arguments: Mapping[str, Any], data: Sequence[Buffer] | None) -> bytes | ContentBody:
    if data is not None:
        return ContentBody(arguments, data)
    return json.dumps(arguments, separators=(",", ":")).encode()


def _reason(error: OSError) -> str:
    """Tell why there is no connection; for TCP the error's own text is only the address again."""
    if error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__


def _error(value: Any, outcome: Outcome) -> StorageDriverError:
    try:
        return error_from(value)
    except (AttributeError, TypeError, ValueError):
        return UnavailableError("the answer is not the protocol's", outcome=outcome)
