"""Calls of the JSON API on buckets and objects, uploads apart.

Sources: json_api/v1/objects/{get,list,delete,patch,rewriteTo,compose,copy}; for downloads
also streaming-downloads, transcoding ("Decompressive transcoding": a gzip object is served
decompressed, whole, to who does not accept gzip).
"""

from __future__ import annotations

import gzip
import json
import re
import secrets
from collections.abc import Mapping
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from . import _conditions
from ._control import Control
from ._errors import ApiError
from ._fields import select
from ._listing import list_page
from ._store import Attributes, Bucket, Store, StoredObject, check_name

_SLICE = 256 * 1024
_MIB = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
MOST_COMPONENTS = 32

Query = Mapping[str, str]


def json_answer(document: Any, query: Query, status: int = 200) -> web.Response:
    body = json.dumps(select(document, query.get("fields"))).encode()
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")


async def read_document(request: web.Request) -> dict[str, Any]:
    """Give the JSON object of a request; empty without a body."""
    text = await request.read()
    if not text:
        return {}
    try:
        document = json.loads(text)
    except ValueError:
        raise ApiError(400, "Parse Error", "parseError") from None
    if not isinstance(document, dict):
        raise ApiError(400, "Parse Error", "parseError")
    return document


class ObjectsApi:
    """The calls, on one store."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control
        self._rewrites: dict[str, tuple[object, int]] = {}

    # Buckets

    async def create_bucket(self, request: web.Request, query: Query) -> web.Response:
        name = str((await read_document(request)).get("name", ""))
        if "project" not in query or not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", name):
            raise ApiError(400, "Invalid bucket name or no project")
        if name in self._store.buckets:
            raise ApiError(409, "Your previous request to create the named bucket succeeded.")
        self._store.buckets[name] = Bucket(name, self._store.clock.now())
        return json_answer({"kind": "storage#bucket", "name": name}, query)

    async def get_bucket(self, bucket: str, query: Query) -> web.Response:
        found = self._store.bucket(bucket)
        return json_answer({"kind": "storage#bucket", "name": found.name}, query)

    async def delete_bucket(self, bucket: str) -> web.Response:
        if self._store.bucket(bucket).objects:
            raise ApiError(409, "The bucket you tried to delete is not empty.")
        del self._store.buckets[bucket]
        return web.Response(status=204)

    async def list_objects(self, bucket: str, query: Query) -> web.Response:
        self._control.listings += 1
        return json_answer(list_page(self._store.bucket(bucket), query), query)

    # Objects

    async def get(self, bucket: str, name: str, query: Query) -> web.Response:
        found = self._store.bucket(bucket).get(name, query.get("generation"))
        _conditions.check(query, found, reads=True)
        return json_answer(found.resource(), query)

    async def download(
        self, request: web.Request, bucket: str, name: str, query: Query
    ) -> web.StreamResponse:
        found = self._store.bucket(bucket).get(name, query.get("generation"))
        _conditions.check(query, found, reads=True)
        return await send_media(request, found)

    async def delete(self, bucket: str, name: str, query: Query) -> web.Response:
        self._control.require_deletable(name)
        where = self._store.bucket(bucket)
        found = where.get(name, query.get("generation"))
        _conditions.check(query, found)
        where.remove(name)
        return web.Response(status=204)

    async def patch(
        self, request: web.Request, bucket: str, name: str, query: Query
    ) -> web.Response:
        where = self._store.bucket(bucket)
        found = where.get(name, query.get("generation"))
        _conditions.check(query, found)
        changes = await read_document(request)
        metadata = {**found.metadata, **(changes.get("metadata") or {})}
        document = {
            **found.resource(),
            **changes,
            "metadata": {key: value for key, value in metadata.items() if value is not None},
        }
        return json_answer(
            self._store.patch(where, found, Attributes.from_document(document)).resource(), query
        )

    async def rewrite(
        self,
        request: web.Request,
        source: tuple[str, str],
        target: tuple[str, str],
        query: Query,
    ) -> web.Response:
        """Copy in as many calls as it takes. Source: json_api/v1/objects/rewriteTo.

        Each call but the last answers `done: false` and a token for the next, which has to be the
        same request; the preconditions are checked in each.
        """
        where = self._store.bucket(target[0])
        found = self._store.bucket(source[0]).get(source[1], query.get("sourceGeneration"))
        document = await read_document(request)
        _conditions.check(query, found, prefix="ifSource")
        _conditions.check(query, where.objects.get(check_name(target[1])))
        size = found.body.size
        done = self._progress(query, (source, target, found.generation), size)
        answer: dict[str, Any] = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(done),
            "objectSize": str(size),
            "done": done == size,
        }
        if done < size:
            token = secrets.token_urlsafe(16)
            self._rewrites[token] = ((source, target, found.generation), done)
            answer["rewriteToken"] = token
            return json_answer(answer, query)
        made = self._copy(where, target[1], found, document)
        answer["resource"] = made.resource()
        return json_answer(answer, query)

    def _progress(self, query: Query, what: object, size: int) -> int:
        step = self._control.rewrite_step or size
        if "maxBytesRewrittenPerCall" in query:
            asked = query["maxBytesRewrittenPerCall"]
            if not asked.isdecimal() or int(asked) < _MIB or int(asked) % _MIB:
                raise ApiError(400, "maxBytesRewrittenPerCall is a multiple of 1 MiB")
            step = min(step, int(asked))
        done = 0
        if "rewriteToken" in query:
            known, done = self._rewrites.pop(query["rewriteToken"], (None, 0))
            if known != what:
                raise ApiError(400, "The rewriteToken is not of this rewrite")
        return min(size, done + step)

    async def copy(
        self,
        request: web.Request,
        source: tuple[str, str],
        target: tuple[str, str],
        query: Query,
    ) -> web.Response:
        where = self._store.bucket(target[0])
        found = self._store.bucket(source[0]).get(source[1], query.get("sourceGeneration"))
        document = await read_document(request)
        _conditions.check(query, found, prefix="ifSource")
        _conditions.check(query, where.objects.get(check_name(target[1])))
        return json_answer(self._copy(where, target[1], found, document).resource(), query)

    def _copy(
        self, where: Bucket, name: str, found: StoredObject, document: dict[str, Any]
    ) -> StoredObject:
        # Without a body the attributes are copied; with one, it gives all of them.
        kept = Attributes(
            content_type=found.content_type, fixed=found.fixed, metadata=found.metadata
        )
        attributes = Attributes.from_document(document) if document else kept
        return self._store.put(where, name, found.body, attributes, found.components)

    async def compose(
        self, request: web.Request, bucket: str, name: str, query: Query
    ) -> web.Response:
        """Join up to 32 objects. Source: json_api/v1/objects/compose; composite-objects."""
        where = self._store.bucket(bucket)
        document = await read_document(request)
        sources = document.get("sourceObjects") or []
        if not 1 <= len(sources) <= MOST_COMPONENTS:
            raise ApiError(400, f"The number of source components must be 1..{MOST_COMPONENTS}")
        _conditions.check(query, where.objects.get(check_name(name)))
        parts = []
        for source in sources:
            part = where.get(source["name"], source.get("generation"))
            _conditions.check(source.get("objectPreconditions") or {}, part)
            parts.append(part)
        writer = self._store.new_body()
        for part in parts:
            for start in range(0, part.body.size, _SLICE):
                writer.write(part.body.range(start, _SLICE))
        attributes = Attributes.from_document(document.get("destination") or {})
        count = sum(part.components or 1 for part in parts)
        made = self._store.put(where, name, writer.finish(composed=True), attributes, count)
        return json_answer(made.resource(), query)


def media_headers(found: StoredObject) -> dict[str, str]:
    """Give the headers that come with an object's bytes."""
    hashes = [f"crc32c={found.crc32c}"]
    if found.md5:
        hashes.append(f"md5={found.md5}")
    headers = {
        "ETag": f'"{found.md5 or found.etag}"',
        "Last-Modified": format_datetime(found.updated.replace(microsecond=0), usegmt=True),
        "Content-Type": found.content_type or "application/octet-stream",
        "X-Goog-Generation": str(found.generation),
        "X-Goog-Metageneration": str(found.metageneration),
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Stored-Content-Length": str(found.body.size),
        "X-Goog-Stored-Content-Encoding": found.fixed.get("contentEncoding", "identity"),
        "X-Goog-Storage-Class": "STANDARD",
        "Accept-Ranges": "bytes",
    }
    if "contentEncoding" in found.fixed:
        headers["Content-Encoding"] = found.fixed["contentEncoding"]
    if "cacheControl" in found.fixed:
        headers["Cache-Control"] = found.fixed["cacheControl"]
    return headers


async def send_media(
    request: web.Request, found: StoredObject, extra: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send an object's bytes, or the range that was asked."""
    headers = {**media_headers(found), **(extra or {})}
    size = found.body.size
    if found.fixed.get("contentEncoding") == "gzip" and "gzip" not in request.headers.get(
        "Accept-Encoding", ""
    ):
        del headers["Content-Encoding"]
        headers["Warning"] = "214 UploadServer gunzipped"
        return web.Response(body=gzip.decompress(found.body.range(0, size)), headers=headers)
    start, end, status = 0, size, 200
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked and any(asked.groups()):
        start, end = _range_of(asked, size)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    await response.prepare(request)
    if request.method != "HEAD":
        while start < end:
            data = found.body.range(start, min(_SLICE, end - start))
            start += len(data)
            await response.write(data)
    await response.write_eof()
    return response


def _range_of(asked: re.Match[str], size: int) -> tuple[int, int]:
    first, last = asked.groups()
    if not first:
        start, end = max(0, size - int(last)), size
        empty = int(last) == 0 or size == 0
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        empty = start >= end
    if empty:
        raise ApiError(
            416,
            "The requested range cannot be satisfied.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end
