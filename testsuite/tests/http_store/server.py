"""The server's process. It keeps everything in memory, by the steps of the inmemory driver.

```text
GET, HEAD, PUT, DELETE /bucket/path      an object; Range, X-Conditions, X-If-Absent, X-If-Match
PUT    /bucket/path   X-Copy-Source      a copy
GET    /bucket?list=PATH                 a page of direct children;  ?walk=PATH of all below
POST   /bucket?delete                    many keys, by the body; up to 1,000
POST   /bucket/path?uploads              a new upload
PUT    /bucket/path?upload=ID&part=N     a part; X-Copy-Source for one of a stored object
POST   /bucket/path?upload=ID&take       a holder takes an upload over
POST   /bucket/path?upload=ID            commits;  DELETE drops
GET    /bucket?uploads                   a page of the uploads in progress
POST   /!control                         how the store behaves; for tests
```

What goes wrong is `{"error": name of the contract's error}`, a commit's under status 200, too.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from storagedriver_inmemory import InMemoryDriver, Store
from storagedriver_testsuite.proxy._http import Head, pieces, read_head, request_framing

import storagedriver_core
from storagedriver_core import (
    CompleteOptions,
    Conditions,
    ConfigurationError,
    ConflictError,
    FileInfo,
    NoSpaceError,
    PermissionDeniedError,
    PutOptions,
    StorageDriverError,
    Upload,
    UploadNotFoundError,
    UploadOptions,
)

from . import signing

STATUS = {
    "PathNotFoundError": 404,
    "UploadNotFoundError": 404,
    "ConfigurationError": 404,
    "PermissionDeniedError": 403,
    "AuthenticationError": 401,
    "AlreadyExistsError": 412,
    "ConflictError": 409,
    "NoSpaceError": 507,
    "ChecksumMismatchError": 400,
}
PIECE_BYTES = 256 * 1024


class Bucket:
    """A store, and the ledgers of its uploads."""

    def __init__(self) -> None:
        self.store = Store()
        self.driver = InMemoryDriver(store=self.store)
        self.parts: dict[str, dict[int, tuple[int, int, str]]] = {}


class Request:
    """One request, with its body read."""

    def __init__(self, head: Head, body: bytes) -> None:
        self.head, self.body = head, body
        path, _, self.raw_query = head.target.partition("?")
        self.raw_path = path
        self.query = dict(parse_qsl(self.raw_query, keep_blank_values=True))
        first, _, rest = path[1:].partition("/")
        self.bucket = unquote(first)
        # A name with octets that are no text has no place here.
        self.path = f"/{unquote(rest)}" if rest else ""

    def json(self) -> Any:
        return json.loads(self.body)

    def metadata(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(base64.b64decode(self.head.get("x-metadata") or "e30="))
        return found


class Answer:
    def __init__(self, value: Any = None, *, status: int = 200, data: bytes | None = None) -> None:
        self.status = status
        self.data = json.dumps(value).encode() if data is None else data
        self.headers = {"Content-Type": "application/json"} if data is None else {}


def fault(error: StorageDriverError, status: int = 0) -> Answer:
    name = type(error).__name__
    value = {"error": name, "outcome": error.outcome, "path": error.path}
    answer = Answer(value, status=status or STATUS.get(name, 500))
    answer.headers["X-Error"] = name
    return answer


def info_json(info: FileInfo) -> dict[str, Any]:
    values = asdict(info)
    values["mod_time"] = info.mod_time.isoformat() if info.mod_time else None
    return values


class Server:
    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.read_only = self.full = self.removed = False
        self.undeletable = ""
        self.lists = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while (head := await read_head(reader)) is not None:
                if head.get("expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = b"".join([piece async for piece in pieces(reader, request_framing(head))])
                request = Request(head, body)
                try:
                    answer = await self.answer(request)
                except StorageDriverError as error:
                    answer = fault(error)
                headers = [("X-Store", "1"), *answer.headers.items()]
                if answer.status != 204:
                    headers.append(("Content-Length", str(len(answer.data))))
                writer.write(Head(f"HTTP/1.1 {answer.status} Answer", headers).encode())
                if head.method != "HEAD" and answer.status != 204:
                    for start in range(0, len(answer.data), PIECE_BYTES):
                        writer.write(answer.data[start : start + PIECE_BYTES])
                        await writer.drain()
                await writer.drain()
        writer.close()

    async def answer(self, request: Request) -> Answer:
        if request.raw_path == "/!control":
            return Answer(await self.control(request.json()))
        if refusal := self.refusal(request):
            return refusal
        bucket = self.buckets.get(request.bucket)
        if bucket is None or self.removed:
            raise ConfigurationError("no such bucket")
        self.require_change(request)
        if not request.path:
            return await self.on_bucket(bucket, request)
        if "uploads" in request.query or "upload" in request.query:
            return await self.on_upload(bucket, request)
        return await self.on_object(bucket, request)

    def refusal(self, request: Request) -> Answer | None:
        head = request.head
        if "signature" in request.query:
            wrong = signing.why_not_signed(
                request.raw_query,
                head.method,
                head.get("host"),
                request.raw_path,
                head.get("content-type"),
            )
            return Answer({"error": "PermissionDeniedError"}, status=403) if wrong else None
        if not head.get("authorization"):
            return Answer({"error": "AuthenticationError"}, status=401)
        if not signing.is_authorized(head.get("authorization"), head.method, head.target):
            return Answer({"error": "AuthenticationError"}, status=401)
        return None

    def require_change(self, request: Request) -> None:
        method = request.head.method
        if method in ("GET", "HEAD"):
            return
        if self.read_only:
            raise PermissionDeniedError
        grows = method == "PUT" or (method == "POST" and "upload" in request.query)
        if self.full and grows and "take" not in request.query:
            raise NoSpaceError

    async def control(self, order: dict[str, Any]) -> Any:
        for name in ("read_only", "full", "removed", "undeletable"):
            if name in order:
                setattr(self, name, order[name])
        if "make" in order:
            self.buckets[order["make"]] = Bucket()
        if "drop" in order:
            self.buckets.pop(order["drop"], None)
        bucket = self.buckets.get(order.get("bucket", ""))
        if bucket is None:
            return None
        store = bucket.store
        match order.get("do"):
            case "list":
                return [*store.paths(), *(id for id, _ in store.uploads())]
            case "uploads":
                return [id for id, _ in store.uploads()]
            case "get":
                return base64.b64encode(store.get(order["path"]).data).decode()
            case "put":
                store.put(order["path"], base64.b64decode(order["data"]))
            case "discard":
                for id, pending in store.uploads():
                    if pending.path == order["path"]:
                        store.abort_upload(id, pending.holder)
                store.put(order["path"], base64.b64decode(order["data"]))
        return None

    # Buckets

    async def on_bucket(self, bucket: Bucket, request: Request) -> Answer:
        query, store = request.query, bucket.store
        if "delete" in query:
            return Answer(self.delete_many(store, request.json()))
        if "uploads" in query:
            return Answer(self.uploads(store, query))
        if "now" in query:
            return Answer(store.now().isoformat())
        self.lists += 1
        after = query.get("after")
        count = min(int(query.get("count", 1000)), 1000)
        if "list" in query:
            path, page = query["list"], store.children(query["list"], after, count + 1)
        else:
            path, page = query["walk"], store.below(query["walk"], after, count + 1)
        exists = path == "/" or store.has_directory(path)
        return Answer(
            {
                "exists": exists,
                "entries": [info_json(info) for info in page[:count]],
                "more": len(page) > count,
            }
        )

    def delete_many(self, store: Store, paths: list[str]) -> dict[str, Any]:
        deleted, missing, failed = [], [], {}
        for path in paths:
            if path == self.undeletable:
                failed[path] = "PermissionDeniedError"
            elif path in store._objects:
                store._remove(path)
                deleted.append(path)
            else:
                missing.append(path)
        return {"deleted": deleted, "missing": missing, "failed": failed}

    def uploads(self, store: Store, query: dict[str, str]) -> dict[str, Any]:
        known = sorted(store.uploads(), key=lambda entry: int(entry[0].rpartition("-")[2]))
        after = int(query.get("after") or 0)
        left = [entry for entry in known if int(entry[0].rpartition("-")[2]) > after]
        return {
            "more": len(left) > 1000,
            "uploads": [
                {
                    "id": id,
                    "path": pending.path,
                    "started": pending.started_at.isoformat(),
                    "updated": pending.updated_at.isoformat(),
                    "size": len(pending.data),
                }
                for id, pending in left[:1000]
            ],
        }

    # Objects

    async def on_object(self, bucket: Bucket, request: Request) -> Answer:
        method, head, path = request.head.method, request.head, request.path
        if method == "PUT":
            if head.get("x-copy-source"):
                source = unquote(head.get("x-copy-source"))
                if_absent = bool(head.get("x-if-absent"))
                await bucket.driver.copy(source, path, if_absent=if_absent)
                return Answer({"copied": path})
            options = PutOptions(
                content_type=head.get("content-type") or None,
                metadata=request.metadata(),
                if_absent=bool(head.get("x-if-absent")),
                if_match=head.get("x-if-match") or None,
            )
            return Answer(info_json(await bucket.driver.put_content(path, request.body, options)))
        if method == "DELETE":
            report = self.delete_many(bucket.store, [path])
            if report["failed"]:
                raise PermissionDeniedError
            if report["missing"]:
                raise storagedriver_core.PathNotFoundError
            return Answer(status=204)
        return await self.give(bucket, request)

    async def give(self, bucket: Bucket, request: Request) -> Answer:
        found = bucket.store.get(request.path)
        info = await bucket.driver.stat(request.path)
        conditions = _conditions(request.head.get("x-conditions"))
        if conditions is not None and not conditions.hold_for(info):
            raise ConflictError
        if "digest" in request.query:
            return Answer(hashlib.new(request.query["digest"], found.data).hexdigest())
        answer = Answer(data=found.data)
        answer.headers = {
            "ETag": f'"{info.etag}"',
            "X-Modified": found.mod_time.isoformat(),
            "X-Size": str(len(found.data)),
            "X-Metadata": base64.b64encode(json.dumps(dict(found.metadata)).encode()).decode(),
        }
        if found.content_type is not None:
            answer.headers["Content-Type"] = found.content_type
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.head.get("range"))
        if wanted:
            size = len(found.data)
            first, last = wanted.groups()
            start = int(first) if first else max(size - int(last), 0)
            end = min(int(last) + 1 if first and last else size, size)
            if start >= size:
                answer.status, answer.data = 416, b""
            else:
                answer.status, answer.data = 206, found.data[start:end]
                answer.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return answer

    # Uploads

    async def on_upload(self, bucket: Bucket, request: Request) -> Answer:
        query, path, method = request.query, request.path, request.head.method
        if "uploads" in query:
            order = request.json()
            options = UploadOptions(content_type=order["content_type"], metadata=order["metadata"])
            upload = await bucket.driver.open_upload(path, order["holder"], options)
            bucket.parts[upload.upload_id] = {}
            return Answer({"id": upload.upload_id})
        id, holder = query["upload"], query.get("holder", "")
        upload = Upload(path, id, holder=holder)
        if method == "PUT":
            return await self.put_part(bucket, request, upload)
        if method == "DELETE":
            pending = bucket.store.upload(id)
            bucket.store.abort_upload(id, pending.holder)
            return Answer(status=204)
        order = request.json()
        if "take" in query:
            upload = Upload(path, id, holder=holder, data=order["data"])
            state = await bucket.driver.upload_state(upload, order["size"])
            completed = info_json(state.completed) if state.completed else None
            data = dict(state.data) if state.data is not None else None
            return Answer({"size": state.size, "completed": completed, "data": data})
        try:
            return Answer(await self.commit(bucket, upload, order))
        except StorageDriverError as error:
            return fault(error, 200)

    async def put_part(self, bucket: Bucket, request: Request, upload: Upload) -> Answer:
        number, offset = int(request.query["part"]), int(request.query["offset"])
        data = request.body
        if source := request.head.get("x-copy-source"):
            start, size = map(int, request.head.get("x-copy-range").split("+"))
            data = bucket.store.get(unquote(source)).data[start : start + size]
        part = await bucket.driver.put_part(upload, number, offset, [data])
        etag = hashlib.md5(data).hexdigest()
        bucket.parts.setdefault(upload.upload_id, {})[number] = (offset, part.size, etag)
        return Answer({"etag": etag, "size": part.size})

    async def commit(self, bucket: Bucket, upload: Upload, order: dict[str, Any]) -> Any:
        options = CompleteOptions(
            path=upload.path, size=order["size"], if_absent=order["if_absent"]
        )
        with suppress(UploadNotFoundError):
            bucket.store.upload(upload.upload_id, upload.holder)
            known = bucket.parts.get(upload.upload_id, {})
            for number, offset, size, etag in order["parts"]:
                if known.get(number) != (offset, size, etag):
                    raise ConflictError(f"part {number} is another")
        return info_json(await bucket.driver.complete_upload(upload, (), options))


def _conditions(text: str) -> Conditions | None:
    if not text:
        return None
    values = json.loads(text)
    for name in ("if_modified_since", "if_unmodified_since"):
        if values[name]:
            values[name] = datetime.fromisoformat(values[name])
    return Conditions(**values)


async def input_lines() -> AsyncIterator[bytes]:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        yield line


async def main() -> None:
    server = await asyncio.start_server(Server().serve, "127.0.0.1", 0, limit=256 * 1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async for _ in input_lines():
        pass
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
