"""The hot calls, sent by the SDK's HTTP session, with nothing between.

Of what a call of the SDK costs, a fifth is the request: the rest are its event hooks, the rules of
its endpoints, validation and general parsing. So the calls that there are many of take their route
from the first that the SDK has sent, and go by themselves: see docs/decisions/0013. Parameters
and results are the SDK's. Whatever is not plain goes by the SDK, and so does what the
store redirects, which then shows the new route.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

import aiohttp
from aiobotocore.parsers import AioResponseParserFactory
from aiobotocore.response import AioStreamingBody
from botocore.auth import EMPTY_SHA256_HASH, UNSIGNED_PAYLOAD
from botocore.awsrequest import HeadersDict
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from storagedriver_s3._body import Body
from storagedriver_s3._pages import page_of
from storagedriver_s3._route import Request, Route, Signer
from storagedriver_s3._session import OneAttemptSession
from storagedriver_s3._times import parse_timestamp

_META = "x-amz-meta-"

# Source: botocore.utils.S3RegionRedirectorv2: what the SDK follows to another region. Its HTTP
# session follows those that say where.
_ELSEWHERE_STATUSES = (301, 302, 303, 307, 308)
_ELSEWHERE_CODES = (
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
)

# The request that the SDK has sent for the call that runs.
_sent: ContextVar[Any] = ContextVar("sent", default=None)


class DirectCalls:
    """Calls of one client for one bucket.

    Args:
        client: The SDK's.
        bucket: Name of the bucket.
        signs_payload: Whether the bytes of bodies are signed.
        is_plain: Whether calls may go without the SDK at all.
    """

    def __init__(
        self, client: Any, bucket: str, *, signs_payload: bool, is_plain: bool = True
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._signs_payload = signs_payload
        self._session: OneAttemptSession = client._endpoint.http_session
        self._agent = client.meta.config.user_agent
        self._parser = AioResponseParserFactory().create_parser("rest-xml")
        readers = _READERS if is_plain else {}
        self._operations = {name: _Operation(client, name, read) for name, read in readers.items()}
        self._signer: Signer | None = None
        client.meta.events.register_last("before-send.s3", _notice)

    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call.

        Args:
            method: The client's method.
            parameters: Its parameters, without the bucket.

        Raises:
            Exception: Whatever the client raises, and what `OneAttemptSession.answer_to` does.
        """
        operation = self._operations.get(method)
        if operation is None:
            return await self._by_sdk(method, parameters)
        signer = self._signer
        if signer is None:
            return await self._by_sdk(method, parameters, learns=True)
        response = await self._send(operation, signer, parameters)
        if response.status < 300:
            return await operation.read(response)
        told = await self._told(operation, response)
        if _leads_elsewhere(operation, response.status, told["Error"].get("Code")):
            self._signer = None
            return await self._by_sdk(method, parameters, learns=True)
        raise ClientError(told, operation.name)

    async def _by_sdk(
        self, method: str, parameters: Mapping[str, Any], *, learns: bool = False
    ) -> dict[str, Any]:
        call = getattr(self._client, method)(Bucket=self._bucket, **parameters)
        if not learns:
            result: dict[str, Any] = await call
            return result
        token = _sent.set(None)
        try:
            result = await call
            self._learn(parameters)
            return result
        except ClientError as error:
            # What is not there is so at the right place, too.
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                self._learn(parameters)
            raise
        finally:
            _sent.reset(token)

    def _learn(self, parameters: Mapping[str, Any]) -> None:
        sent = _sent.get()
        route = None if sent is None else Route.of(sent, parameters.get("Key"))
        if route is not None:
            self._signer = Signer(route)

    async def _send(
        self, operation: _Operation, signer: Signer, parameters: Mapping[str, Any]
    ) -> aiohttp.ClientResponse:
        query, headers = operation.described(parameters)
        headers["User-Agent"] = self._agent
        body: bytes | Body | None = parameters.get("Body")
        if body is not None:
            headers["Content-Length"] = str(len(body))
        request = Request(
            operation.http_method,
            signer.route.url(parameters.get("Key"), query),
            headers,
            body,
            UNSIGNED_PAYLOAD,
        )
        if signer.route.region is not None:
            if self._signs_payload:
                request.payload = await _digest(body)
            credentials = await self._client._get_credentials().get_frozen_credentials()
            signer.sign(request, credentials)
        return await self._session.answer_to(request)

    async def _told(
        self, operation: _Operation, response: aiohttp.ClientResponse
    ) -> dict[str, Any]:
        """Give what an answer says of an error."""
        answer = {
            "headers": HeadersDict(response.headers),
            "status_code": response.status,
            "body": await response.read(),
            "context": {"operation_name": operation.name},
        }
        told: dict[str, Any] = await self._parser.parse(answer, operation.output)
        return told


class _Operation:
    """One operation, as the SDK's description of the service has it.

    Attributes:
        name: As `GetObject`.
        http_method: As `GET`.
        output: Shape of the answer.
        read: Makes the SDK's result of a good answer.
    """

    def __init__(self, client: Any, method: str, read: Reader) -> None:
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        self.name: str = model.name
        self.http_method: str = model.http["method"]
        self.output = model.output_shape
        self.read = read
        self._query = model.http["requestUri"].partition("?")[2]
        self._places = {
            name: (member.serialization.get("location"), member.serialization.get("name"))
            for name, member in model.input_shape.members.items()
        }

    def described(self, parameters: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Give the query, in the order in which it is signed, and the headers."""
        query = [self._query] if self._query else []
        headers: dict[str, str] = {}
        for name, value in parameters.items():
            location, place = self._places[name]
            if location == "querystring":
                query.append(f"{place}={quote(str(value), safe='-_.~')}")
            elif location == "header":
                headers[place] = value
            elif location == "headers":
                for key, text in value.items():
                    headers[place + key] = text
        if self.read is _page:
            query.append("encoding-type=url")
        query.sort()
        return "&".join(query), headers


Reader = Callable[[aiohttp.ClientResponse], Awaitable[dict[str, Any]]]


async def _outline(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read an answer that has no more to say of the object than its etag."""
    await response.read()
    found = _metadata_of(response)
    if etag := response.headers.get("etag"):
        found["ETag"] = _text(etag)
    return found


async def _nothing(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read an answer that has nothing to say; a body is somebody else's."""
    if await response.read():
        raise ResponseParserError("a document came where there is none")
    return _metadata_of(response)


async def _properties(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read what headers say of an object, which has no body here."""
    await response.read()
    return _described(response)


def _described(response: aiohttp.ClientResponse) -> dict[str, Any]:
    found, headers = _metadata_of(response), response.headers
    try:
        found["ContentLength"] = int(headers["content-length"])
        found["LastModified"] = parse_timestamp(headers["last-modified"])
        found["ETag"] = _text(headers["etag"])
    except (KeyError, ValueError) as error:
        raise ResponseParserError("the answer is not that of an S3 store") from error
    found["ContentType"] = _text(headers.get("content-type", "")) or None
    start = len(_META)
    found["Metadata"] = {
        name[start:].lower(): _text(value)
        for name, value in headers.items()
        if name[:start].lower() == _META
    }
    return found


async def _content(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read what headers say of an object, and leave its bytes to be read."""
    try:
        found = _described(response)
    except BaseException:
        response.close()
        raise
    if (extent := response.headers.get("content-range")) is not None:
        found["ContentRange"] = extent
    found["Body"] = AioStreamingBody(response, found["ContentLength"])
    return found


async def _page(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read a page of a listing."""
    return {**page_of(await response.read()), **_metadata_of(response)}


def _text(value: str) -> str:
    """Give a header's value as it is, if it is text: aiohttp lets any bytes through."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ResponseParserError("a header is not UTF-8") from error
    return value


def _metadata_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    return {
        "ResponseMetadata": {
            "HTTPStatusCode": response.status,
            "HTTPHeaders": response.headers,
        }
    }


_READERS: Mapping[str, Reader] = {
    "head_object": _properties,
    "get_object": _content,
    "put_object": _outline,
    "upload_part": _outline,
    "delete_object": _nothing,
    "list_objects_v2": _page,
}


def _notice(request: Any, **_: object) -> None:
    _sent.set(request)


def _leads_elsewhere(operation: _Operation, status: int, code: str | None) -> bool:
    """Tell whether the SDK would ask another region, or look for one."""
    # An answer to HEAD has no body that could say it.
    is_unsaid = status == 400 and operation.http_method == "HEAD"
    return status in _ELSEWHERE_STATUSES or code in _ELSEWHERE_CODES or is_unsaid


async def _digest(body: bytes | Body | None) -> str:
    """Give the SHA-256 of a body; of a large one without holding the event loop up."""
    if not body:
        return str(EMPTY_SHA256_HASH)
    if isinstance(body, Body):
        return await asyncio.to_thread(body.sha256)
    return hashlib.sha256(body).hexdigest()
