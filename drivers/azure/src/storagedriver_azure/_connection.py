"""Requests to the service: adlfs's account and credentials, the SDK's signing, one HTTP session.

adlfs makes the SDK's service client, from which come address, version and the policy that signs.
Requests go through that policy alone, by an aiohttp session of this driver: the SDK's other
policies repeat, log, redirect and decode, none of which is wanted here, and cost several times what
the request itself does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.transport import AioHttpTransport, HttpRequest

from storagedriver_azure._account import open_account
from storagedriver_azure._config import AzureConfig
from storagedriver_azure._errors import FAILURES, from_answer, from_failure
from storagedriver_core import Buffer, ClosedError, ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from typing import Self

USER_AGENT = "storagedriver-azure"
# As the SDK quotes: its signature takes a path apart at what stands in it unquoted.
_PATH_SAFE = "/~"
_SLICE_BYTES = 256 * 1024
_READ_BUFFER_BYTES = 256 * 1024
# One metadata value may have 8 KiB, which is over what aiohttp takes by itself.
_HEADER_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said.

    Attributes:
        status: HTTP status.
        headers: By names in any case.
        body: The whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Pieces:
    """A body of several buffers. It can be sent again from its start, never from its middle.

    Attributes:
        size: Bytes.
    """

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._views = [memoryview(buffer) for buffer in buffers]
        self.size = sum(view.nbytes for view in self._views)

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for view in self._views:
            for start in range(0, len(view), _SLICE_BYTES):
                yield view[start : start + _SLICE_BYTES]


class OpenAnswer:
    """An answer whose body is still to be read.

    Attributes:
        status_code: HTTP status; the SDK's policies know it by this name.
        headers: By names in any case.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status_code = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    async def next_chunk(self) -> bytes:
        """Give what has come of the body; empty at its end, and only there."""
        try:
            return await self._response.content.readany()
        except FAILURES as failure:
            raise from_failure(failure) from failure

    async def read(self) -> bytes:
        """Give the whole body."""
        return await self._response.read()

    def close(self) -> None:
        """Let go; a connection in the middle of a body is closed. Idempotent."""
        self._response.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Transport(AioHttpTransport):  # type: ignore[misc]  # the SDK types it only lazily
    """Sends what the signing policy has signed, and raises what aiohttp raises."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(session=session, session_owner=False)

    async def send(self, request: Any, **options: Any) -> Any:
        response = await self.session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.data,
            allow_redirects=False,
        )
        return OpenAnswer(response)


class Connection:
    """An opened account, with one container.

    Attributes:
        account: Name of the account.
        container: Name of the container.
        endpoint: Address of the account's blob service, without a `/` at its end.
        service: The SDK's service client, opened by adlfs.
    """

    def __init__(
        self, config: AzureConfig, filesystem: Any, session: aiohttp.ClientSession
    ) -> None:
        service = filesystem.service_client
        self.service = service
        self.account = str(config.account_name or service.account_name)
        self.container = config.container
        self.endpoint = f"{service.scheme}://{service.primary_hostname}".rstrip("/")
        self._filesystem = filesystem
        self._session = session
        self._version = str(service.api_version)
        # A shared access signature stands in the address.
        self.signature = str(service._query_str).lstrip("?")
        policy = service._credential_policy
        self._pipeline: Any = AsyncPipeline(_Transport(session), [policy] if policy else [])
        self._requests = asyncio.Semaphore(config.max_connections)
        self._is_closed = False

    @classmethod
    async def open(cls, config: AzureConfig) -> Connection:
        """Open an account. Sends nothing."""
        filesystem = open_account(config)
        session = aiohttp.ClientSession(
            # A limit of the pool would count open readers, and wait for them without an end.
            connector=aiohttp.TCPConnector(limit=0, ssl=_ssl(config)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=True,
            read_bufsize=_READ_BUFFER_BYTES,
            max_field_size=_HEADER_BYTES,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=None,
                sock_connect=config.connect_timeout,
                sock_read=config.read_timeout,
            ),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        # aiohttp would repeat a PUT whose reply was lost: a create-only one then fails by itself.
        session._retry_connection = False
        return cls(config, filesystem, session)

    async def aclose(self) -> None:
        """Close the session and the credentials."""
        if self._is_closed:
            return
        self._is_closed = True
        async with AsyncExitStack() as stack:  # each is closed, whatever the others raise
            if self._filesystem.sync_credential is not None:
                stack.callback(self._filesystem.sync_credential.close)
            if hasattr(self._filesystem.credential, "close"):
                stack.push_async_callback(self._filesystem.credential.close)
            stack.push_async_callback(self.service.close)
            stack.push_async_callback(self._session.close)

    def url(self, name: str | None, query: str = "") -> str:
        """Give the address of a blob, or of the container, as it goes over the wire."""
        path = "" if name is None else "/" + quote(name, safe=_PATH_SAFE)
        url = f"{self.endpoint}/{self.container}{path}"
        query = "&".join(part for part in (query, self.signature) if part)
        return f"{url}?{query}" if query else url

    async def request(
        self,
        method: str,
        name: str | None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        data: Buffer | Pieces | None = None,
        expect: Sequence[int] = (200,),
        changes: bool = False,
        url: str | None = None,
    ) -> Answer:
        """Make a request and give the whole answer.

        Args:
            method: HTTP method.
            name: The blob; None for the container.
            query: What follows the `?`, encoded.
            headers: Beside those that each request has.
            data: Body.
            expect: The statuses that are no error.
            changes: Whether it changes something, so that its outcome is unknown if the reply is
                lost.
            url: Instead of `name` and `query`.

        Raises:
            StorageDriverError: As `_errors` translates.
        """
        async with self._requests:
            answer = await self._send(
                method,
                name,
                query=query,
                headers=headers,
                data=data,
                expect=expect,
                changes=changes,
                url=url,
            )
            async with answer:
                try:
                    body = await answer.read()
                except FAILURES as failure:
                    raise from_failure(failure, changes=changes) from failure
        return Answer(answer.status_code, answer.headers, body)

    async def stream(self, name: str, headers: Mapping[str, str]) -> OpenAnswer:
        """Ask for a blob, or a range of it, and give the answer with its body unread.

        It is no request any more then: who reads it may be slow.
        """
        async with self._requests:
            return await self._send("GET", name, headers=headers, expect=(200, 206))

    @asynccontextmanager
    async def page(self, query: str) -> AsyncIterator[OpenAnswer]:
        """Ask for a page of names, which is to be read in the block."""
        async with self._requests, await self._send("GET", None, query=query) as answer:
            yield answer

    async def _send(
        self,
        method: str,
        name: str | None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        data: Buffer | Pieces | None = None,
        expect: Sequence[int] = (200,),
        changes: bool = False,
        url: str | None = None,
    ) -> OpenAnswer:
        """Send a request and give the answer with its body unread. Takes what `request` takes."""
        if self._is_closed:
            raise ClosedError("the driver is closed")
        sent = {
            "x-ms-version": self._version,
            "x-ms-date": formatdate(usegmt=True),
            "User-Agent": USER_AGENT,
            **(headers or {}),
        }
        if method == "PUT":
            sent["Content-Length"] = str(_size(data))
        if isinstance(data, bytes | bytearray | memoryview) and len(data) > _SLICE_BYTES:
            data = Pieces([data])
        request: Any = HttpRequest(method, url or self.url(name, query), headers=sent)
        request.data = data
        try:
            answer: OpenAnswer = (await self._pipeline.run(request)).http_response
        except FAILURES as failure:
            raise from_failure(failure, changes=changes) from failure
        if answer.status_code in expect:
            # Not a proxy's page: the service names each of its answers.
            if "x-ms-request-id" in answer.headers:
                return answer
            answer.close()
            raise UnavailableError(
                "an answer that is not the service's", outcome="unknown" if changes else "none"
            )
        async with answer:
            # The body says what the headers have said; read, it leaves the connection usable.
            with suppress(*FAILURES):
                await answer.read()
        raise from_answer(answer.status_code, answer.headers, changes=changes)


def _size(data: Buffer | Pieces | None) -> int:
    if data is None:
        return 0
    return data.size if isinstance(data, Pieces) else memoryview(data).nbytes


def _ssl(config: AzureConfig) -> ssl.SSLContext | bool:
    if config.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca_file {config.ca_file!r} cannot be read: {error}") from error
