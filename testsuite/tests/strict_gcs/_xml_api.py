"""What signed URLs lead to: GET, HEAD and PUT of an object by the XML API.

Sources: xml-api/get-object-download, xml-api/head-object, xml-api/put-object-upload;
xml-api/reference-status, "Error Response Format" (an `Error` document with `Code` and `Message`).
"""

from __future__ import annotations

from urllib.parse import unquote
from xml.sax.saxutils import escape

from aiohttp import web

from . import _signed
from ._auth import Accounts
from ._control import Control
from ._errors import ApiError
from ._objects_api import send_media
from ._store import Attributes, Store
from ._uploads_api import store_body

_META = "x-goog-meta-"


class XmlApi:
    """The calls, on one store."""

    def __init__(self, store: Store, accounts: Accounts, control: Control) -> None:
        self._store = store
        self._accounts = accounts
        self._control = control

    async def call(self, request: web.Request, path: str, query: str) -> web.StreamResponse:
        """Answer a request to `/bucket/object`."""
        try:
            return await self._call(request, path, query)
        except ApiError as error:
            code, found, message = error.message.partition(": ")
            if not found or " " in code:
                code, message = (
                    {404: "NoSuchKey", 401: "AccessDenied"}.get(error.status, "InvalidRequest"),
                    error.message,
                )
            text = (
                "<?xml version='1.0' encoding='UTF-8'?>"
                f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
            )
            body = b"" if request.method == "HEAD" else text.encode()
            return web.Response(
                status=error.status,
                body=body,
                content_type="application/xml",
                headers=error.headers,
            )

    async def _call(self, request: web.Request, path: str, query: str) -> web.StreamResponse:
        if "x-goog-signature=" in query.lower():
            _signed.verify(request, path, query, self._accounts, self._store.clock.seconds())
        else:
            self._accounts.require(request.headers.get("Authorization"))
        bucket, _, quoted = path.lstrip("/").partition("/")
        name = unquote(quoted)
        where = self._store.bucket(unquote(bucket))
        if request.method in ("GET", "HEAD"):
            found = where.get(name)
            extra = {f"{_META}{key}": value for key, value in found.metadata.items()}
            return await send_media(request, found, extra)
        if request.method == "PUT":
            self._control.require_change()
            attributes = Attributes.from_document(
                {
                    "contentType": request.headers.get("Content-Type"),
                    "metadata": {
                        key[len(_META) :].lower(): value
                        for key, value in request.headers.items()
                        if key.lower().startswith(_META)
                    },
                }
            )
            conditions = {}
            if "x-goog-if-generation-match" in request.headers:
                conditions["ifGenerationMatch"] = request.headers["x-goog-if-generation-match"]
            made = await store_body(self._store, request, where, name, conditions, attributes)
            return web.Response(
                headers={"ETag": f'"{made.md5}"', "X-Goog-Generation": str(made.generation)}
            )
        raise ApiError(405, "MethodNotAllowed: GET, HEAD or PUT")
