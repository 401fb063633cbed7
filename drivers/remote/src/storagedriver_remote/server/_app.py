"""The protocol over HTTP: who may ask, what is asked, and how it is answered."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from storagedriver_core import (
    AuthenticationError,
    ConfigurationError,
    StorageDriverError,
)
from storagedriver_remote._body import MEDIA_TYPE as CONTENT
from storagedriver_remote._client import PLACE, REQUEST_ID, SESSION
from storagedriver_remote._errors import error_json, status_of
from storagedriver_remote.server._answers import Answer
from storagedriver_remote.server._calls import CARRYING, LISTING, PLAIN, READING, Calls
from storagedriver_remote.server._content import announced_length, read_content, read_json
from storagedriver_remote.server._guard import driver_errors, driver_failure
from storagedriver_remote.server._service import MOST_CONTENT_BYTES, Service

_MOST_JSON_BYTES = 16 * 1024 * 1024

_logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(service: Service, tokens: Sequence[str] = ()) -> web.Application:
    """Make the application.

    Args:
        service: What it serves; opened by the first request, closed with the application.
        tokens: The bearer tokens that are taken; without any, everybody is.
    """
    server = _Server(service, tokens)
    app = web.Application(client_max_size=_MOST_JSON_BYTES)
    app.router.add_get(f"{PLACE}/handshake", server.handshake)
    app.router.add_post(f"{PLACE}/{{call}}", server.call)
    app.router.add_route("*", "/{anything:.*}", server.elsewhere)

    async def close(_: web.Application) -> None:
        await service.aclose()

    app.on_cleanup.append(close)
    return app


class _Server:
    def __init__(self, service: Service, tokens: Sequence[str]) -> None:
        self._service = service
        self._tokens = [token.encode() for token in tokens]

    async def handshake(self, request: web.Request) -> web.StreamResponse:
        async def answer() -> web.StreamResponse:
            self._admit(request)
            await self._service.open()
            self._service.sessions.renew(request.headers.get(SESSION, ""), request.transport)
            with driver_errors("handshake"):
                return _json(request, {"result": self._service.handshake()}, 200)

        return await self._answered(request, answer)

    async def call(self, request: web.Request) -> web.StreamResponse:
        async def answer() -> web.StreamResponse:
            self._admit(request)
            await self._service.open()
            session = request.headers.get(SESSION, "")
            self._service.sessions.heard_of(session)
            name = request.match_info["call"]
            if name == "renew":
                self._service.sessions.renew(session, request.transport)
            return await self._call(request, Calls(self._service, session), name)

        return await self._answered(request, answer)

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        async def answer() -> web.StreamResponse:
            self._admit(request)
            raise ConfigurationError(f"this server speaks what is below {PLACE}, and no more")

        return await self._answered(request, answer)

    def _admit(self, request: web.Request) -> None:
        if not self._tokens:
            return
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        # Each is compared, in a time that says nothing of how much of it was right.
        given = token.strip().encode()
        known = [hmac.compare_digest(given, one) for one in self._tokens]
        if kind.lower() != "bearer" or not any(known):
            raise AuthenticationError("the token is missing or wrong")

    async def _call(self, request: web.Request, calls: Calls, name: str) -> web.StreamResponse:
        if name in CARRYING:
            if request.content_type != CONTENT:
                raise ValueError(f"{name} carries content, as {CONTENT}")
            carry, spell = CARRYING[name]
            length = announced_length(request, MOST_CONTENT_BYTES)
            async with self._service.room.taken(length):
                arguments, data = await read_content(request, length, MOST_CONTENT_BYTES)
                with self._counted():
                    return _result(request, name, spell, await carry(calls, arguments, data))
        if request.content_type != "application/json":
            raise ValueError("arguments are application/json")
        arguments = json.loads(await read_json(request))
        if not isinstance(arguments, dict):
            raise ValueError("arguments are an object")
        if name in READING:
            read, spell = READING[name]
            stream = await read(calls, arguments)
            return await Answer(request, name, _headers(request)).content(stream, spell)
        if name in LISTING:
            begin, spell = LISTING[name]
            pages = begin(calls, arguments)
            return await Answer(request, name, _headers(request)).pages(pages, spell)
        if name in PLAIN:
            call, spell = PLAIN[name]
            with self._counted():
                return _result(request, name, spell, await call(calls, arguments))
        raise ConfigurationError(f"there is no call {name!r}")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._service.under_way += 1
        try:
            yield
        finally:
            self._service.under_way -= 1

    async def _answered(
        self, request: web.Request, answer: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Give the answer, whatever comes of it."""
        name = request.headers.get(REQUEST_ID, "-")
        try:
            return await answer()
        except StorageDriverError as error:
            _logger.debug("request %s, %s: %s", name, request.path, error)
            return _failure(request, error, status_of(error))
        except web.HTTPException:
            raise
        except ConnectionError:
            _logger.debug("request %s, %s: the client is gone", name, request.path)
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            _logger.exception("request %s, %s: not as the protocol says", name, request.path)
            wrong = StorageDriverError(f"the request is not as the protocol says: {error!r}")
            return _failure(request, wrong, 400)
        except Exception as error:
            return _failure(request, driver_failure(request.path, error), 500)


def _headers(request: web.Request) -> dict[str, str]:
    name = request.headers.get(REQUEST_ID)
    return {REQUEST_ID: name} if name is not None else {}


def _result(
    request: web.Request, name: str, spell: Callable[[Any], Any], result: Any
) -> web.Response:
    """Answer with what the driver has given; what cannot be spelled is none of its results."""
    with driver_errors(name):
        return _json(request, {"result": spell(result)}, 200)


def _failure(request: web.Request, error: StorageDriverError, status: int) -> web.Response:
    return _json(request, {"error": error_json(error)}, status)


def _json(request: web.Request, value: Any, status: int) -> web.Response:
    text = json.dumps(value, separators=(",", ":")).encode()
    return web.Response(
        body=text, status=status, content_type="application/json", headers=_headers(request)
    )
