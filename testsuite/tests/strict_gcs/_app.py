"""Which handler answers which request.

Source: request-endpoints: `/storage/v1` is the JSON API, `/upload/storage/v1` its uploads,
`/download/storage/v1` its downloads, anything else the XML API's `/bucket/object`.
"""

from __future__ import annotations

import re
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from ._auth import Accounts
from ._control import Control
from ._errors import ApiError
from ._objects_api import ObjectsApi, read_document
from ._store import Bucket, Store
from ._uploads_api import UploadsApi
from ._xml_api import XmlApi

_JSON = re.compile(r"/(?P<kind>(?:upload/|download/)?)storage/v1/b(?P<rest>/.*)?")
_OBJECT = re.compile(r"/([^/]+)/o/([^/]+)")
_TRANSFER = re.compile(r"/([^/]+)/o/([^/]+)/(rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)")
_COMPOSE = re.compile(r"/([^/]+)/o/([^/]+)/compose")


class Server:
    """The whole fake.

    Args:
        directory: For bodies and key files.
        url: Where clients reach it.
    """

    def __init__(self, directory: Path, url: str) -> None:
        self.store = Store(directory / "bodies")
        self.control = Control()
        self.accounts = Accounts(self.store.clock)
        self.accounts.write_keys(directory, url)
        self.objects = ObjectsApi(self.store, self.control)
        self.uploads = UploadsApi(self.store, self.control)
        self.xml = XmlApi(self.store, self.accounts, self.control)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.raw_path}"
        path, _, query = request.raw_path.partition("?")
        if path.startswith("/_control/"):
            return await self._control(request, path.removeprefix("/_control/"))
        is_media = path.startswith("/download/") or "alt=media" in query
        try:
            self.control.check(line)
            response = await self._dispatch(request, path, query)
        except ApiError as error:
            response = error.response(plain=is_media)
        if self.control.is_lost(line):
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError
        if not response.prepared:
            response.headers["Date"] = format_datetime(self.store.clock.now(), usegmt=True)
        return response

    async def _dispatch(self, request: web.Request, path: str, query: str) -> web.StreamResponse:
        if path == "/token" and request.method == "POST":
            return web.json_response(self.accounts.grant(await request.post()))
        match = _JSON.fullmatch(path)
        if match is None:
            return await self.xml.call(request, path, query)
        values = dict(parse_qsl(query, keep_blank_values=True))
        if match["kind"] == "upload/" and "upload_id" in values:
            self.control.require_change()
            return await self.uploads.session_call(request, values)
        self.accounts.require(request.headers.get("Authorization"))
        if request.method not in ("GET", "HEAD"):
            self.control.require_change()
        rest = match["rest"] or ""
        if match["kind"] == "upload/":
            bucket = re.fullmatch(r"/([^/]+)/o", rest)
            if bucket is None or request.method != "POST":
                raise ApiError(404, "Not Found")
            return await self.uploads.insert(request, unquote(bucket[1]), values)
        if match["kind"] == "download/":
            values["alt"] = "media"
        return await self._json_call(request, rest, values)

    async def _json_call(
        self, request: web.Request, rest: str, query: dict[str, str]
    ) -> web.StreamResponse:
        api, method = self.objects, request.method
        if found := _TRANSFER.fullmatch(rest):
            bucket, name, verb, target_bucket, target = map(unquote, found.groups())
            call = api.rewrite if verb == "rewriteTo" else api.copy
            if method != "POST":
                raise ApiError(405, "POST")
            return await call(request, (bucket, name), (target_bucket, target), query)
        if (found := _COMPOSE.fullmatch(rest)) and method == "POST":
            return await api.compose(request, unquote(found[1]), unquote(found[2]), query)
        if found := _OBJECT.fullmatch(rest):
            bucket, name = map(unquote, found.groups())
            if method == "GET" and query.get("alt") == "media":
                return await api.download(request, bucket, name, query)
            if method == "GET":
                return await api.get(bucket, name, query)
            if method == "DELETE":
                return await api.delete(bucket, name, query)
            if method == "PATCH":
                return await api.patch(request, bucket, name, query)
            raise ApiError(405, "GET, DELETE or PATCH")
        parts = [unquote(part) for part in rest.split("/")[1:]]
        if not parts and method == "POST":
            return await api.create_bucket(request, query)
        if len(parts) == 1 and method == "GET":
            return await api.get_bucket(parts[0], query)
        if len(parts) == 1 and method == "DELETE":
            return await api.delete_bucket(parts[0])
        if len(parts) == 2 and parts[1] == "o" and method == "GET":
            return await api.list_objects(parts[0], query)
        raise ApiError(404, "Not Found")

    async def _control(self, request: web.Request, name: str) -> web.Response:
        order = await read_document(request)
        control = self.control
        match name:
            case "state":
                return web.json_response(self._state())
            case "create_bucket":
                made = Bucket(order["bucket"], self.store.clock.now())
                self.store.buckets.setdefault(made.name, made)
            case "expire_sessions":
                self.uploads.expire(int(order.get("status", 410)))
            case "keep":
                control.keep, control.keep_times = order["bytes"], order.get("times", 1)
            case "fail":
                control.fail(order)
            case "lose_reply":
                control.lose_reply(order)
            case "rewrite_step":
                control.rewrite_step = order["bytes"]
            case "clock":
                self.store.clock.offset = order["offset"]
            case "expire_tokens":
                self.accounts.forget_tokens()
            case "read_only":
                control.read_only = order["on"]
            case "undeletable":
                control.undeletable = frozenset(order["names"])
            case "hide":
                self.store.buckets[order["bucket"]].hidden = order["on"]
            case "reset":
                control.reset()
                self.store.clock.offset = 0.0
                for bucket in self.store.buckets.values():
                    bucket.hidden = False
            case _:
                return web.Response(status=404)
        return web.json_response({})

    def _state(self) -> dict[str, object]:
        sessions = self.uploads.sessions.values()
        return {
            "sessions": [
                {"bucket": each.bucket, "name": each.name, "persisted": each.persisted}
                for each in sessions
                if each.is_open
            ],
            "listings": self.control.listings,
            "tokens": self.accounts.granted,
        }
