"""Small requests, written to connections of aiohttp's pool without its machinery for requests.

`ClientSession.request` copies headers three times, reads the URL again, looks for cookies, traces,
netrc and redirects, and starts a task for each body: a fifth of what a small request costs. See
docs/decisions/0013.

```text
  the pool, connecting, TLS ──► head and body, at once ──► timeout, parser ──► ClientResponse
          (aiohttp)                    (here)                       (aiohttp)
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp.helpers import TimerNoop
from aiohttp.http import StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

# With its head, no more than a transport takes without pausing its writer: who waits for that has
# to listen meanwhile, for an answer may come before all is sent.
MOST_BYTES = 32 * 1024

_NO_HEADERS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())


class Origin:
    """A scheme, host and port that requests go to, without a proxy.

    Args:
        session: Whose connections, timeouts and size of buffers are used; of the running loop.
        url: Any URL there.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        root = URL(url[: path_at(url)], encoded=True)
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._host = root.host_port_subcomponent or ""
        # The connector reads no more of a request than where it goes.
        self._for_connector = aiohttp.ClientRequest("GET", root, loop=self._loop, session=session)

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a request, and give the answer when its head has come; redirects are not followed.

        Args:
            method: HTTP method.
            url: The whole URL, as it is sent.
            headers: All but `Host`.
            body: At most `MOST_BYTES`; of its length only the headers tell.

        Raises:
            aiohttp.ClientError: No answer came.
            OSError: The same.
            ValueError: A header holds an end of line.
        """
        connection = await self._connected()
        protocol, timeout = connection.protocol, self._session.timeout
        assert protocol is not None
        protocol.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=timeout.sock_read,
            read_bufsize=self._session._read_bufsize,
        )
        writer = StreamWriter(protocol, self._loop)
        answer = self._answer(method, URL(url, encoded=True), writer)
        try:
            line = f"{method} {url[path_at(url) :]} HTTP/1.1"
            await writer.write_headers(line, CIMultiDict({"Host": self._host, **headers}))
            await writer.write_eof(body)
            protocol.start_timeout()
            return await answer.start(connection)
        except BaseException:
            answer.close()
            connection.close()
            raise

    async def _connected(self) -> aiohttp.connector.Connection:
        connector = self._session.connector
        assert connector is not None
        try:
            return await connector.connect(
                self._for_connector, traces=[], timeout=self._session.timeout
            )
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"no connection to {self._host}") from error

    def _answer(self, method: str, url: URL, writer: StreamWriter) -> aiohttp.ClientResponse:
        return aiohttp.ClientResponse(
            method,
            url,
            writer=None,
            continue100=None,
            timer=TimerNoop(),
            request_info=aiohttp.RequestInfo(url, method, _NO_HEADERS, url),
            traces=[],
            loop=self._loop,
            session=self._session,
            stream_writer=writer,
        )


def path_at(url: str) -> int:
    """Tell where the path of an absolute URL begins, which has one."""
    return url.index("/", len("https://"))
