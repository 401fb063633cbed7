"""Requests to the server, and what their failures mean."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import aiohttp
from yarl import URL

import storagedriver_core
from storagedriver_core import (
    Outcome,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
)

from . import signing

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)


class Client:
    """A session with the server.

    Args:
        endpoint: Base URL.
        key: Name of the secret.
        secret: The secret.
    """

    def __init__(self, endpoint: str, key: str, secret: bytes) -> None:
        self._endpoint = endpoint
        self._key, self._secret = key, secret
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=_NO_TIMEOUT,
            auto_decompress=False,
            skip_auto_headers=["Content-Type", "Accept-Encoding"],
            connector=aiohttp.TCPConnector(limit=64),
        )
        # A repetition by the library would find the traces of the first request.
        self._session._retry_connection = False

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(
        self,
        method: str,
        target: str,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> aiohttp.ClientResponse:
        """Send a request, and give its answer if it is a success or `allowed`."""
        assert self._session is not None
        outcome: Outcome = "none" if method in ("GET", "HEAD") else "unknown"
        sent = {
            "Authorization": signing.authorization(self._key, self._secret, method, target),
            **(headers or {}),
        }
        try:
            answer = await self._session.request(
                method,
                URL(self._endpoint + target, encoded=True),
                # A file: the library warns of large bytes, which it would send in one piece.
                data=io.BytesIO(data) if data else None,
                headers=sent,
                allow_redirects=False,
            )
        except aiohttp.ClientConnectorError as error:
            raise UnavailableError("no connection") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError("the connection broke", outcome=outcome) from error
        if answer.status < 300 or answer.status in allowed:
            if "X-Store" in answer.headers:
                return answer
            answer.close()
            raise UnavailableError("the answer is not the store's", outcome=outcome)
        async with answer:
            body = b""
            with suppress(aiohttp.ClientError, OSError):
                body = await answer.read()
            raise error_of(answer, body, outcome)

    async def call(self, method: str, target: str, order: Any = None, **options: Any) -> Any:
        """Send a request, its body and answer JSON."""
        data = None if order is None else json.dumps(order).encode()
        return await self.call_with(method, target, data, **options)

    async def call_with(self, method: str, target: str, data: bytes | None, **options: Any) -> Any:
        """Send a request with a body, and give the JSON of its answer."""
        outcome: Outcome = "none" if method == "GET" else "unknown"
        async with await self.send(method, target, data=data, **options) as answer:
            if answer.status == 204:
                return None
            try:
                value = json.loads(await answer.read())
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise UnavailableError("the answer is broken", outcome=outcome) from error
        if isinstance(value, dict) and "error" in value:
            raise named_error(value, outcome)
        return value


def error_of(answer: aiohttp.ClientResponse, body: bytes, outcome: Outcome) -> StorageDriverError:
    """Give the error that an answer stands for."""
    if answer.status in (429, 503):
        after = answer.headers.get("Retry-After")
        return ThrottledError(retry_after=float(after) if after else None, outcome=outcome)
    try:
        # The answer to a HEAD has no body.
        value = {"error": answer.headers["X-Error"]} if "X-Error" in answer.headers else None
        value = json.loads(body) if body and "X-Store" in answer.headers else value
    except ValueError:
        value = None
    if answer.status < 500 or answer.status == 507:
        if value is not None:
            return named_error(value, outcome)
        if answer.status == 403:
            return storagedriver_core.PermissionDeniedError()
    return UnavailableError(f"status {answer.status}", outcome=outcome)


def named_error(value: dict[str, Any], outcome: Outcome) -> StorageDriverError:
    """Give the error that the server names."""
    kind = getattr(storagedriver_core, value["error"], None)
    if kind is None:
        return UnavailableError(f"the server failed: {value['error']}", outcome=outcome)
    error: StorageDriverError = kind(path=value.get("path", ""))
    error.outcome = value.get("outcome", "none")
    return error
