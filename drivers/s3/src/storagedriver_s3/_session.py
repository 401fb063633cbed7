"""The SDK's HTTP session, with one attempt for each request and a short way for the hot ones.

The SDK's own way looks for a proxy, reads an experimental variable, copies headers to and fro and
reads the URL again, for each request: a fifth of what a small one costs. Connections, their pool,
TLS and timeouts are the same either way.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError
from yarl import URL

from storagedriver_s3._route import Request

# With aiohttp's own 64 KiB the transport is paused and resumed at nearly every read.
_READ_BUFFER_BYTES = 256 * 1024


class OneAttemptSession(AIOHTTPSession):  # type: ignore[misc]  # untyped
    """What the client sends its requests by."""

    def __init__(self, *args: Any, proxies: dict[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, proxies=proxies, **options)
        self._has_proxies = bool(proxies)

    async def answer_to(self, request: Request) -> aiohttp.ClientResponse:
        """Send a request, and give the answer when its head has come; the body is left to be read.

        Raises:
            aiohttp.ClientError: No answer came.
            OSError: The same.
            HTTPClientError: The same, where aiohttp does not expect what happened.
            Exception: What `send` raises, where there are proxies.
        """
        if self._has_proxies:
            answer: aiohttp.ClientResponse = (await self.send(request)).raw
            return answer
        # As the SDK does, after signing: some stores change it on its way.
        request.headers["Accept-Encoding"] = "identity"
        try:
            session = await self._get_session(None)
            return await session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
            )
        except (aiohttp.ClientError, OSError):
            raise
        except Exception as error:
            raise HTTPClientError(error=error) from error

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        session._retry_connection = False
        session._cookie_jar = aiohttp.DummyCookieJar()
        session._read_bufsize = _READ_BUFFER_BYTES
        return session
