"""Requests to the service: one session of gcsfs, its credentials, our own error table.

gcsfs finds credentials and makes the HTTP session. Its retries, caches and file objects are not
used, and neither are its requests, which repeat themselves and lose status and reason of errors.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from storagedriver_core import StorageDriverError, UnavailableError
from storagedriver_gcs._body import MemoryBody
from storagedriver_gcs._config import GcsConfig
from storagedriver_gcs._credentials import Credentials, make_filesystem, read_key
from storagedriver_gcs._errors import error_of, is_certain, translated

Query = Mapping[str, str]
_READ_BUFFER = 256 * 1024
_USER_AGENT = "storagedriver-gcs/0.1"

AS_STORED = {"Accept-Encoding": "gzip"}
"""gzip is accepted so that the service does not decompress what is stored so."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, *, changes: bool = False) -> dict[str, Any]:
        """Read the body.

        Raises:
            UnavailableError: It is no JSON object: whoever answered is not the service.
        """
        try:
            document = json.loads(self.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UnavailableError(
                "the answer is not the service's", outcome="unknown" if changes else "none"
            )
        return document


class Client:
    """The bucket, over HTTP.

    Args:
        config: Where it is and how it is reached.
    """

    def __init__(self, config: GcsConfig) -> None:
        self.config = config
        bucket = quote(config.bucket, safe="")
        self.bucket_url = f"{config.url}/storage/v1/b/{bucket}"
        self.upload_url = f"{config.url}/upload/storage/v1/b/{bucket}/o"
        self._pays = {"userProject": config.project or ""} if config.requester_pays else {}
        self._headers = {
            "User-Agent": f"{_USER_AGENT} {config.user_agent or ''}".rstrip(),
            "Accept-Encoding": "identity",
        }
        self._filesystem: Any = None
        self._session: aiohttp.ClientSession | None = None
        self._credentials: Credentials | None = None

    @property
    def credentials(self) -> Credentials:
        """The credentials of the open client."""
        assert self._credentials is not None, "the driver is open"
        return self._credentials

    async def open(self) -> None:
        """Make the session, and read the key. Sends nothing.

        Raises:
            ConfigurationError: The key cannot be read.
        """
        config = self.config
        self._credentials = Credentials(config, await asyncio.to_thread(read_key, config))
        filesystem = await asyncio.to_thread(make_filesystem, config)
        filesystem.session_kwargs = {
            "auto_decompress": False,  # what is stored compressed is read as it is stored
            "read_bufsize": _READ_BUFFER,
            "timeout": aiohttp.ClientTimeout(
                total=None,
                connect=None,
                sock_connect=config.connect_timeout,
                sock_read=config.read_timeout,
            ),
        }
        session: aiohttp.ClientSession = await filesystem._set_session()
        # gcsfs makes the connector, with a client's certificate if there is one. The limit of its
        # pool would count open readers, and wait for them without an end.
        assert session.connector is not None, "it is open"
        session.connector._limit = 0
        self._requests = asyncio.Semaphore(config.maxconcurrency)
        # aiohttp repeats some requests by itself when a kept connection breaks. A create-only
        # write that was done would then be told to exist.
        session._retry_connection = False
        self._filesystem = filesystem  # it closes its session when it is collected
        self._session = session

    async def aclose(self) -> None:
        """Close the session and its connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        self._filesystem = None

    def object_url(self, name: str) -> str:
        """Give the URL of an object's metadata."""
        return f"{self.bucket_url}/o/{quote(name, safe='')}"

    async def call(
        self,
        method: str,
        url: str,
        query: Query | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: MemoryBody | None = None,
        changes: bool = False,
        accept: tuple[int, ...] = (),
        is_session: bool = False,
        is_followed: bool = False,
    ) -> Reply:
        """Send a request and read the answer to its end.

        Args:
            method: As `GET`.
            url: Quoted, without a query.
            query: Parameters of the query.
            headers: Headers besides the usual ones.
            body: What to send.
            changes: Whether it changes something.
            accept: Statuses besides 2xx that are no error.
            is_session: The URL is an upload session's, which is its own credential.
            is_followed: A list comes next if this is 404, and finds a missing bucket.

        Raises:
            StorageDriverError: By the table in `_errors`.
        """
        reply = await self._send(method, url, query, headers, body, changes, is_session)
        if 200 <= reply.status < 300 or reply.status in accept:
            return reply
        raise await self._error(reply, changes, ask=not is_followed)

    async def _send(
        self,
        method: str,
        url: str,
        query: Query | None,
        headers: Mapping[str, str] | None,
        body: MemoryBody | None,
        changes: bool,
        is_session: bool,
    ) -> Reply:
        proof: dict[str, str] = {} if is_session else await self.credentials.header()
        may_renew = not is_session
        while True:
            with translated(changes=changes):
                sent = {**(headers or {}), **proof}
                async with (
                    self._requests,
                    self._request(method, url, query, sent, body) as got,
                ):
                    reply = Reply(got.status, got.headers, await got.read())
            if reply.status != 401 or not may_renew or not await self.credentials.renew(proof):
                return reply
            # A refused request has done nothing, and the body is still in memory. Once: a service
            # that refuses every header would get the body for ever.
            proof = await self.credentials.header()
            may_renew = False

    async def stream(
        self, url: str, query: Query, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Begin a download. The caller reads and closes what is returned.

        Raises:
            StorageDriverError: By the table in `_errors`; 416 is left to the caller.
        """
        proof = await self.credentials.header()
        may_renew = True
        while True:
            with translated():
                sent = {**AS_STORED, **headers, **proof}
                async with self._requests:
                    response: aiohttp.ClientResponse = await self._request(
                        "GET", url, query, sent, None
                    )
            if response.status in (200, 206, 416):
                return response
            async with response:
                with translated():
                    reply = Reply(response.status, response.headers, await response.read())
            if reply.status != 401 or not may_renew or not await self.credentials.renew(proof):
                raise await self._error(reply, changes=False)
            proof = await self.credentials.header()
            may_renew = False

    def _request(
        self,
        method: str,
        url: str,
        query: Query | None,
        headers: Mapping[str, str],
        body: MemoryBody | None,
    ) -> Any:
        assert self._session is not None, "the driver is open"
        if self._pays or query:
            url = f"{url}{'&' if '?' in url else '?'}{_encoded({**(query or {}), **self._pays})}"
        sent = {**self._headers, **headers}
        if body is not None and body.media_type is not None:
            sent["Content-Type"] = body.media_type
        return self._session.request(
            method,
            URL(url, encoded=True),
            headers=sent,
            data=body,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,  # 308 is an answer here
        )

    async def _error(self, reply: Reply, changes: bool, *, ask: bool = True) -> StorageDriverError:
        error = error_of(reply.status, reply.headers, reply.body, changes=changes)
        if ask and reply.status == 404 and not is_certain(reply.body):
            # Servers that do not tell a missing bucket from a missing object are asked.
            await self.probe()
        return error

    @property
    def _list_url(self) -> str:
        return f"{self.bucket_url}/o"

    async def list_page(self, query: Query) -> Reply:
        """Ask for one page of names."""
        reply = await self._send("GET", self._list_url, query, None, None, False, False)
        if reply.status == 404:
            # There is no prefix that a list would not find: it is the bucket.
            raise error_of(404, {}, b"bucket does not exist")
        if reply.status != 200:
            raise error_of(reply.status, reply.headers, reply.body)
        return reply

    async def probe(self) -> Reply:
        """Make the cheapest request that shows whether the bucket can be used.

        Raises:
            ConfigurationError: It does not exist.
        """
        return await self.list_page({"maxResults": "1", "fields": "kind"})


def _encoded(query: Query) -> str:
    return "&".join(f"{name}={_quoted(value)}" for name, value in query.items())


# The names of objects differ; the rest of a query is nearly always one of a few texts, which took a
# tenth of a small request to quote.
@functools.lru_cache(maxsize=256)
def _quoted(value: str) -> str:
    return quote(value, safe="")
