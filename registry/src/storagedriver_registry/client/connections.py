"""The connections to one registry: how it is reached, and one request on one of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import aiohttp
from yarl import URL

from storagedriver_core import ClosedError
from storagedriver_registry.client.addresses import base_url, is_local, is_same_origin, proxy_for
from storagedriver_registry.client.answers import NETWORK_ERRORS, translated
from storagedriver_registry.client.errors import RegistryError
from storagedriver_registry.client.stalls import SendStalledError, watched_requests
from storagedriver_registry.client.tls import TLSOptions

USER_AGENT = "storagedriver"

TIMEOUT = 60.0
"""Seconds: longer than what packets that are lost cost, and short enough to be waited for."""

_CONNECT_SECONDS = 30.0
_PROBE_SECONDS = 5.0
_READ_BUFFER = 1 << 20

_logger = logging.getLogger(__name__)

Content: TypeAlias = "bytes | Callable[[], AsyncIterator[bytes]]"
"""A body: the bytes, or what begins to give them, each time anew."""


class NothingSentError(Exception):
    """There was no connection, so that the registry knows nothing of the request."""

    def __init__(self, error: RegistryError) -> None:
        super().__init__(str(error))
        self.error = error


class Connections:
    """The connections to one registry, and to where it redirects.

    Args:
        host: Host and port, as in references.
        plain_http: True for http, False for https; None for https, but on the loopback what the
            registry there speaks.
        insecure: Whether it is found out elsewhere, too, and certificates are not checked.
        tls: Certificates.
        most: Connections at once.
        timeout: Seconds after which a connection that gives or takes nothing has failed.
    """

    def __init__(
        self,
        host: str,
        *,
        plain_http: bool | None,
        tls: TLSOptions,
        most: int,
        insecure: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        if not 0 < timeout < math.inf:
            raise ValueError("a timeout is more than 0 seconds")
        self.timeout = timeout
        self._host = host
        self._tls = replace(tls, verify=False) if insecure else tls
        self._most = most
        self._default = base_url(host, "http" if plain_http else "https")
        self._base: URL | None = None
        if plain_http is not None or not (insecure or is_local(self._default)):
            self._base = self._default
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def base(self) -> URL:
        """Give the registry's root."""
        if self._base is None:
            async with self._opening:
                if self._base is None:
                    # Behind a proxy it cannot be tried.
                    is_behind = proxy_for(self._default) is not None
                    speaks_tls = is_behind or await _speaks_tls(self._default)
                    self._base = self._default if speaks_tls else base_url(self._host, "http")
        return self._base

    def lead_to(self, url: URL) -> bool:
        """Tell whether a URL is at the registry itself: nobody else gets its credentials."""
        return self._base is not None and is_same_origin(url, self._base)

    def host_of(self, url: URL) -> str:
        """Give who is at a URL: a store that the registry redirects to is not the registry."""
        return self._host if self.lead_to(url) else url.host or self._host

    async def exchange(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: Content | None,
        silence: float | None = None,
    ) -> aiohttp.ClientResponse:
        """Do one request on one connection.

        Args:
            method: Its method.
            url: Where.
            headers: All of its headers but those of the session.
            body: What is sent.
            silence: Seconds that nothing may come for; None for what is usual.

        Raises:
            NothingSentError: There is no connection.
            ConnectionFailedError: It broke, or stalled.
        """
        content = _Content(body)
        silence = silence or self.timeout
        connect = min(_CONNECT_SECONDS, self.timeout)
        try:
            response = await self._opened().request(
                method,
                url,
                headers=headers,
                data=content.data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=silence),
                proxy=proxy_for(url),
            )
        except NETWORK_ERRORS as error:
            if content.failure is not None:
                # What was to be sent could not be read: the connection is not to blame.
                raise content.failure from None
            is_unsent = isinstance(
                error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
            )
            is_send = isinstance(error, SendStalledError)
            seconds = connect if is_unsent else self.timeout if is_send else silence
            asked = f"{method} {url.path}"
            failure = translated(error, self.host_of(url), asked, seconds)
            if is_unsent:
                raise NothingSentError(failure) from error
            raise failure from error
        _logger.debug(
            "%s %s://%s%s: %d", method, url.scheme, url.authority, url.path, response.status
        )
        return response

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClosedError("the client of the registry is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._most, ssl=self._tls.context(), ttl_dns_cache=300
                ),
                # Who keeps cookies can be followed, and what is compressed has another digest.
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                read_bufsize=_READ_BUFFER,
                # Not from the environment: aiohttp would take passwords from ~/.netrc as well.
                trust_env=False,
                request_class=watched_requests(self.timeout),
            )
            # It would do each request twice that breaks, uncounted: `Retries` says how often.
            self._session._retry_connection = False
        return self._session


class _Content:
    """The body of one request, and what went wrong in reading it."""

    def __init__(self, body: Content | None) -> None:
        self.failure: BaseException | None = None
        self.data: bytes | AsyncIterator[bytes] | None
        self.data = self._noticing(body()) if callable(body) else body

    async def _noticing(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        except Exception as error:
            self.failure = error
            raise


async def _speaks_tls(url: URL) -> bool:
    """Tell whether TLS is spoken at a port, whatever its certificate."""
    # Nothing is sent, so that it does not matter to whom; authorities would cost time.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(url.host, url.port, ssl=context)
    except (ssl.SSLError, TimeoutError, ConnectionError, OSError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
