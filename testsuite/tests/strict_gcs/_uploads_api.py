"""Uploads: media, multipart and resumable.

Sources, for resumable ones:

- performing-resumable-uploads, "Initiate a resumable upload session": POST with
  `uploadType=resumable`, metadata as JSON; 200 with `Location`.
- There, "Multiple chunk upload": `Content-Range: bytes FIRST-LAST/TOTAL`, the total `*` while it is
  unknown; each chunk but the last a multiple of 256 KiB; 308 with `Range: bytes=0-LAST` of what is
  persisted, no `Range` while nothing is; "do not assume that the server received all bytes"; 200 or
  201 at the end.
- There, "Check the status": an empty PUT with `bytes */TOTAL` or `bytes */*`: 308, or 200 or 201
  once the upload is complete.
- There, "Cancel": DELETE with `Content-Length: 0` is 499; later requests are 4xx.
- resumable-uploads, "Session URIs": the URI is a credential of its own, good for a week; then 404
  or 410. There, "Considerations": persisted bytes cannot be overwritten, attempts are ignored;
  metadata and preconditions are those of the first request; only what is complete is seen;
  `X-Goog-Meta-` headers of the final request add metadata.
- Google's own client libraries send `X-Goog-Hash` with the final request.

Where the pages are silent: a chunk that begins beyond what is persisted is 400; a connection that
breaks in a chunk keeps whole multiples of 256 KiB of it; a precondition or checksum that does not
hold leaves the session as it is; DELETE of a complete session is 404 and changes nothing.
"""

from __future__ import annotations

import asyncio
import email.policy
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from email.parser import BytesParser
from typing import Any
from urllib.parse import quote

from aiohttp import web

from . import _conditions
from ._control import Control
from ._errors import ApiError
from ._objects_api import Query, json_answer, read_document
from ._store import Attributes, BodyWriter, Bucket, Store, StoredObject, check_name

UNIT = 256 * 1024
WEEK_SECONDS = 7 * 24 * 3600
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Session:
    """One resumable upload."""

    def __init__(
        self, bucket: str, name: str, query: Query, attributes: Attributes, expires: float
    ) -> None:
        self.bucket = bucket
        self.name = name
        self.query = query
        self.attributes = attributes
        self.expires = expires
        self.lock = asyncio.Lock()
        self.body: BodyWriter | None = None
        self.total: int | None = None
        self.made: StoredObject | None = None
        self.over: int | None = None

    @property
    def persisted(self) -> int:
        return self.body.size if self.body else 0

    @property
    def is_open(self) -> bool:
        return self.over is None and self.made is None

    def end(self, status: int) -> None:
        self.over = status
        if self.body is not None and self.made is None:
            self.body.drop()
            self.body = None


class UploadsApi:
    """The calls, on one store."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store = store
        self._control = control
        self.sessions: dict[str, Session] = {}

    def expire(self, status: int) -> None:
        for session in self.sessions.values():
            session.end(status)

    async def insert(self, request: web.Request, bucket: str, query: Query) -> web.Response:
        """Begin an upload, or do one that is a single request."""
        where = self._store.bucket(bucket)
        kind = query.get("uploadType")
        if kind == "resumable":
            return await self._open(request, where, query)
        if kind == "media":
            attributes = replace(
                _hashes(request.headers), content_type=request.headers.get("Content-Type")
            )
            return await self._single(request, where, query.get("name", ""), query, attributes)
        if kind == "multipart":
            return await self._multipart(request, where, query)
        raise ApiError(400, f"Invalid uploadType: {kind}")

    async def _single(
        self,
        request: web.Request,
        where: Bucket,
        name: str,
        query: Query,
        attributes: Attributes,
    ) -> web.Response:
        made = await store_body(self._store, request, where, name, query, attributes)
        return json_answer(made.resource(), query)

    async def _multipart(self, request: web.Request, where: Bucket, query: Query) -> web.Response:
        """Source: uploading-objects, "JSON API multipart": metadata first, then media."""
        kind = request.headers.get("Content-Type", "")
        if not kind.startswith("multipart/related") or "boundary=" not in kind:
            raise ApiError(400, "Content-Type must be multipart/related with a boundary")
        boundary = kind.partition("boundary=")[2].split(";")[0].strip().strip('"')
        document, media_type, data = _split(await request.read(), boundary)
        name = document.get("name") or query.get("name", "")
        if "name" in query and name != query["name"]:
            raise ApiError(400, "The name in the metadata is another than in the query")
        attributes = Attributes.from_document({"contentType": media_type, **document})
        _conditions.check(query, where.objects.get(check_name(name)))
        writer = self._store.new_body()
        writer.write(data)
        attributes.check(writer)
        made = self._store.put(where, name, writer.finish(), attributes)
        return json_answer(made.resource(), query)

    async def _open(self, request: web.Request, where: Bucket, query: Query) -> web.Response:
        document = await read_document(request)
        name = check_name(document.get("name") or query.get("name", ""))
        if query.get("name", name) != name:
            raise ApiError(400, "The name in the metadata is another than in the query")
        announced = request.headers.get("X-Upload-Content-Type")
        attributes = Attributes.from_document({"contentType": announced, **document})
        upload_id = secrets.token_urlsafe(48)
        expires = self._store.clock.seconds() + WEEK_SECONDS
        self.sessions[upload_id] = Session(where.name, name, dict(query), attributes, expires)
        location = (
            f"{request.scheme}://{request.host}/upload/storage/v1/b/{where.name}/o"
            f"?uploadType=resumable&name={quote(name, safe='')}&upload_id={upload_id}"
        )
        return web.Response(
            headers={"Location": location, "X-GUploader-UploadID": upload_id}, body=b""
        )

    async def session_call(self, request: web.Request, query: Query) -> web.Response:
        """Answer a request to a session URI. It needs no other credential."""
        session = self.sessions.get(query["upload_id"])
        if session is None:
            raise ApiError(404, "No such upload session")
        async with session.lock:
            if session.is_open and session.expires <= self._store.clock.seconds():
                session.end(410)
            if session.over is not None:
                raise ApiError(session.over, "The upload session is over")
            if request.method == "DELETE":
                return self._cancel(session)
            if request.method not in ("PUT", "POST"):
                raise ApiError(405, "PUT, POST or DELETE")
            if session.made is not None:
                await request.read()
                return json_answer(session.made.resource(), query)
            self._store.bucket(session.bucket)
            return await self._chunk(request, session, query)

    def _cancel(self, session: Session) -> web.Response:
        if session.made is not None:
            raise ApiError(404, "The upload is complete")
        session.end(499)
        return web.Response(status=499)

    async def _chunk(self, request: web.Request, session: Session, query: Query) -> web.Response:
        length = request.content_length
        if length is None:
            raise ApiError(411, "Content-Length is needed")
        start, total = _content_range(request.headers.get("Content-Range"), length, session)
        if total is not None:
            session.total = total
        if start is None:
            if total is not None and session.persisted == total:
                return self._finish(request, session, query)
            return _incomplete(session)
        if start > session.persisted:
            raise ApiError(400, f"{session.persisted} bytes are persisted; this begins at {start}")
        end = start + length
        whole = await self._keep(request, session, start, length)
        if whole and total is not None and end == total and session.persisted == total:
            return self._finish(request, session, query)
        return _incomplete(session)

    async def _keep(self, request: web.Request, session: Session, start: int, length: int) -> bool:
        """Persist the new bytes of a chunk, or as many as tests allow; tell if that is all."""
        kept = self._control.kept(length, UNIT)
        if session.body is None:
            session.body = self._store.new_body()
        skip = session.persisted - start
        room = max(0, kept - skip)
        pending = bytearray()
        try:
            async for data in request.content.iter_any():
                new = data[skip:] if skip < len(data) else b""
                skip = max(0, skip - len(data))
                pending += new[: max(0, room - len(pending))]
                # What is persisted cannot be taken back, so it grows by whole units.
                if len(pending) >= 8 * UNIT:
                    whole = len(pending) // UNIT * UNIT
                    session.body.write(bytes(pending[:whole]))
                    del pending[:whole]
                    room -= whole
        except (ConnectionError, web.PayloadAccessError, asyncio.CancelledError):
            session.body.write(bytes(pending[: len(pending) // UNIT * UNIT]))
            raise
        session.body.write(bytes(pending))
        return kept == length

    def _finish(self, request: web.Request, session: Session, query: Query) -> web.Response:
        where = self._store.bucket(session.bucket)
        _conditions.check(session.query, where.objects.get(session.name))
        writer = session.body or self._store.new_body()
        added = {
            key[len("x-goog-meta-") :].lower(): value
            for key, value in request.headers.items()
            if key.lower().startswith("x-goog-meta-")
        }
        first = session.attributes
        attributes = Attributes(
            content_type=first.content_type,
            fixed=first.fixed,
            metadata={**first.metadata, **added},
        )
        session.body = writer
        first.check(writer)
        _hashes(request.headers).check(writer)
        session.made = self._store.put(where, session.name, writer.finish(), attributes)
        return json_answer(session.made.resource(), query)


async def store_body(
    store: Store,
    request: web.Request,
    where: Bucket,
    name: str,
    query: Query,
    attributes: Attributes,
) -> StoredObject:
    """Make the body of a request an object; a body that breaks off makes none."""
    _conditions.check(query, where.objects.get(check_name(name)))
    writer = store.new_body()
    try:
        async for data in request.content.iter_any():
            writer.write(data)
        attributes.check(writer)
        # Again: others may have come while the body did.
        _conditions.check(query, where.objects.get(name))
    except BaseException:
        writer.drop()
        raise
    return store.put(where, name, writer.finish(), attributes)


def _hashes(headers: Mapping[str, str]) -> Attributes:
    """Give the checksums that headers announce.

    Source: data-validation; xml-api/reference-headers.
    """
    found = {}
    for pair in headers.get("X-Goog-Hash", "").split(","):
        name, _, value = pair.strip().partition("=")
        if name in ("md5", "crc32c"):
            found[name] = value
    if "Content-MD5" in headers:
        found["md5"] = headers["Content-MD5"]
    return Attributes(md5=found.get("md5"), crc32c=found.get("crc32c"))


def _content_range(
    header: str | None, length: int, session: Session
) -> tuple[int | None, int | None]:
    """Give where a chunk begins (None for a query of the status) and the total, if known."""
    if header is None:
        return 0, length  # "Single chunk upload": everything at once
    match = _RANGE.fullmatch(header)
    if match is None:
        raise ApiError(400, f"Invalid Content-Range: {header}")
    first, last, whole = match.groups()
    total = None if whole == "*" else int(whole)
    if total is not None and session.total not in (None, total):
        raise ApiError(400, f"The total was {session.total}, and is {total} now")
    if first is None:
        if length:
            raise ApiError(400, "A status query has no body")
        return None, total
    start, end = int(first), int(last) + 1
    if end - start != length:
        raise ApiError(400, f"There were {length} byte(s) in the body, not {end - start}")
    if total is not None and end > total:
        raise ApiError(400, f"The chunk ends at {end}, beyond the total of {total}")
    if end != total and length % UNIT:
        raise ApiError(400, f"A chunk that is not the last is a multiple of {UNIT} bytes")
    return start, total


def _incomplete(session: Session) -> web.Response:
    headers = {}
    if session.persisted:
        headers["Range"] = f"bytes=0-{session.persisted - 1}"
    return web.Response(status=308, headers=headers, reason="Resume Incomplete")


def _split(payload: bytes, boundary: str) -> tuple[dict[str, Any], str | None, bytes]:
    """Take a multipart/related body apart without touching the bytes of the media."""
    mark = b"--" + boundary.encode()
    if not payload.startswith(mark):
        raise ApiError(400, "Malformed multipart body.")
    metadata_start = len(mark)
    middle = payload.find(b"\r\n" + mark, metadata_start)
    end = payload.rfind(b"\r\n" + mark + b"--")
    if middle < 0 or end <= middle:
        raise ApiError(400, "Malformed multipart body.")
    parts = []
    for text in (payload[metadata_start:middle], payload[middle + 2 + len(mark) : end]):
        head, found, data = text.partition(b"\r\n\r\n")
        if not found:
            raise ApiError(400, "Malformed multipart body.")
        parser = BytesParser(policy=email.policy.HTTP)
        parts.append((parser.parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n"), data))
    try:
        document = json.loads(parts[0][1])
    except ValueError:
        raise ApiError(400, "Parse Error", "parseError") from None
    return document, parts[1][0].get("Content-Type"), parts[1][1]
