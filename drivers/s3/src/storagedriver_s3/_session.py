"""The SDK's HTTP session, with one attempt for each request and a short way for the hot ones.

The SDK's own way looks for a proxy, reads an experimental variable, copies headers to and fro and
reads the URL again, for each request: a fifth of what a small one costs. aiohttp's costs another,
so it is for large bodies only. Connections, their pool, TLS and timeouts are the same either way.
No cookie is kept, whoever sends.
"""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError
from yarl import URL

from storagedriver_s3._exchange import MOST_BYTES, Origin, path_at
from storagedriver_s3._route import Request

logger = logging.getLogger(__name__)

# With aiohttp's own 64 KiB the transport is paused and resumed at nearly every read.
_READ_BUFFER_BYTES = 256 * 1024


class OneAttemptSession(AIOHTTPSession):  # type: ignore[misc]  # untyped
    """What the client sends its requests by."""

    def __init__(self, *args: Any, proxies: dict[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, proxies=proxies, **options)
        # Which hosts have none is among the proxies, too.
        self._proxied = [scheme for scheme in ("http", "https") if (proxies or {}).get(scheme)]
        self._origins: dict[str, Origin] = {}

    async def answer_to(self, request: Request) -> aiohttp.ClientResponse:
        """Send a request, and give the answer when its head has come; the body is left to be read.

        A redirect is an answer like others, unless there is a proxy.

        Raises:
            aiohttp.ClientError: No answer came.
            OSError: The same.
            HTTPClientError: The same, where aiohttp does not expect what happened.
            BotoCoreError: What `send` raises, where there is a proxy.
        """
        logger.debug("%s %s %s", request.method, request.url, request.headers)
        if request.url.partition(":")[0] in self._proxied:
            answer: aiohttp.ClientResponse = (await self.send(request)).raw
            return answer
        # As the SDK does, after signing: what is in front of some stores changes them.
        request.headers["Accept-Encoding"] = "identity"
        if request.method == "DELETE":
            request.headers["Content-Length"] = "0"
        try:
            session = await self._get_session(None)
            body = b"" if request.body is None else request.body
            if isinstance(body, bytes) and len(body) <= MOST_BYTES:
                origin = self._origin(session, request.url)
                answer = await origin.exchange(request.method, request.url, request.headers, body)
            else:
                answer = await session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    data=body,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError):
            raise
        except Exception as error:
            raise HTTPClientError(error=error) from error
        logger.debug("%d %s", answer.status, answer.headers)
        return answer

    def _origin(self, session: aiohttp.ClientSession, url: str) -> Origin:
        name = url[: path_at(url)]
        origin = self._origins.get(name)
        if origin is None:
            origin = self._origins[name] = Origin(session, url)
        return origin

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        if session._retry_connection:  # it is new
            session._retry_connection = False
            session._read_bufsize = _READ_BUFFER_BYTES
            session._cookie_jar = aiohttp.DummyCookieJar()
            self._origins.clear()
        return session
