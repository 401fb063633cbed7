"""Keeps files in any storage and serves them, with FastAPI; beside them stands a registry.

```text
PUT    /files/a/b    store the body; with `If-None-Match: *` only if nothing is there
GET    /files/a/b    the file, or the part that `Range` asks for; HEAD as well
DELETE /files/a/b    delete the file
GET    /files        names and sizes of all files; `?after=/a/b` gives the next page
/v2/…                the registry: docker pull localhost:8000/team/app
```
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import format_datetime
from os import environ
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send
from storagedriver_registry import create_app

from storagedriver_core import (
    AlreadyExistsError,
    ChecksumMismatchError,
    ConflictError,
    FileInfo,
    FileReader,
    InvalidOffsetError,
    InvalidPathError,
    LimitExceededError,
    PathNotFoundError,
    StorageDriverError,
    UnsupportedMethodError,
    open_storage,
)

PAGE_ENTRIES = 1000
STATUS: dict[type[StorageDriverError], int] = {
    InvalidPathError: 400,
    ChecksumMismatchError: 400,  # fewer bytes came than were announced
    PathNotFoundError: 404,
    ConflictError: 409,
    AlreadyExistsError: 412,
    LimitExceededError: 413,
    InvalidOffsetError: 416,
    UnsupportedMethodError: 501,
}

logger = logging.getLogger(__name__)
# These read their files and check them; nothing is opened yet.
storage = open_storage(environ.get("STORAGEDRIVER_CONFIG", "storage.yml"))
registry = create_app(environ.get("REGISTRY_CONFIGURATION_PATH", "registry.yml"), storage=storage)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Have storage and registry at work while requests come: once for each process that serves."""
    async with storage, registry.lifespan():
        yield


app = FastAPI(title="Files", lifespan=lifespan)


@app.put("/files/{name:path}", status_code=201)
async def upload(name: str, request: Request) -> dict[str, Any]:
    """Store what the client sends; nothing of it shows before all of it is there."""
    length = request.headers.get("content-length")
    size = None if length is None else int(length)
    async with await storage.writer(path_of(name), max_size=size) as writer:
        # A client that goes away is an exception here, and then nothing is published.
        async for chunk in request.stream():
            await writer.write(chunk)
        only_new = request.headers.get("if-none-match") == "*"
        return described(await writer.commit(size=size, if_absent=only_new))


@app.head("/files/{name:path}")
async def head(name: str) -> Response:
    """Say what a file is."""
    info = await storage.stat(path_of(name))
    if info.is_dir:
        raise PathNotFoundError(path=info.path)
    return Response(headers=headers_of(info, info.size))


@app.get("/files/{name:path}")
async def download(name: str, request: Request) -> Response:
    """Send a file, or the part of it that is asked for, as the client takes it."""
    part = asked_part(request)
    if part is None:
        reader = await storage.reader(path_of(name))
        return Streamed(reader, 200, headers_of(reader.info, reader.info.size))
    offset, length, suffix = part
    reader = await storage.reader(path_of(name), offset=offset, length=length, suffix=suffix)
    info = reader.info
    end = info.size if length is None else min(info.size, reader.position + length)
    if reader.position >= end:
        await reader.aclose()
        return Response(status_code=416, headers={"Content-Range": f"bytes */{info.size}"})
    headers = headers_of(info, end - reader.position)
    headers["Content-Range"] = f"bytes {reader.position}-{end - 1}/{info.size}"
    return Streamed(reader, 206, headers)


@app.delete("/files/{name:path}", status_code=204)
async def delete(name: str) -> None:
    """Delete a file."""
    await storage.delete(path_of(name), recursive=False)


@app.get("/files")
async def list_files(after: str | None = None) -> dict[str, Any]:
    """Give one page of all files, and what to ask for the next one by."""
    start = None if after is None else path_of(after.removeprefix("/"))
    try:
        walk = storage.walk("/files", start_after=start, limit=PAGE_ENTRIES + 1)
        found = [described(info) async for info in walk]
    except PathNotFoundError:
        found = []  # the first upload makes the directory
    page = found[:PAGE_ENTRIES]
    return {"files": page, "next": page[-1]["path"] if len(found) > len(page) else None}


@app.exception_handler(StorageDriverError)
async def answer_error(request: Request, error: StorageDriverError) -> JSONResponse:
    """Answer with the status of an error's type; what is wrong with the store is for the log."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return JSONResponse({"detail": str(error)}, status)
    logger.error("%s", error)
    status = 503 if error.temporary else 500
    return JSONResponse({"detail": "the store does not answer"}, status)


@app.exception_handler(ClientDisconnect)
async def answer_nobody(request: Request, error: ClientDisconnect) -> Response:
    """Let a client that went away be no error of the application's."""
    return Response(status_code=400)


# After all routes of the application: it answers whatever is none of theirs.
app.mount("", registry)


class Streamed(StreamingResponse):
    """Sends what a reader gives, and closes it, whatever becomes of the client."""

    def __init__(self, reader: FileReader, status: int, headers: dict[str, str]) -> None:
        super().__init__(reader, status, headers)
        self.reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application, as every response is."""
        async with self.reader:
            await super().__call__(scope, receive, send)


def path_of(name: str) -> str:
    """Give the path of a file in the storage, where the registry has files of its own."""
    return f"/files/{name}"


def asked_part(request: Request) -> tuple[int, int | None, int | None] | None:
    """Give offset, length and suffix that a request asks for; None if it is the whole file."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    # Several ranges may be answered with everything, and so may what depends on the file's version.
    if found is None or found[0] == "bytes=-" or "if-range" in request.headers:
        return None
    first, last = found.groups()
    if not first:
        return 0, None, int(last)
    return int(first), max(0, int(last) + 1 - int(first)) if last else None, None


def headers_of(info: FileInfo, length: int) -> dict[str, str]:
    """Say what a file is, and how many bytes of it come."""
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(length),
        "Content-Type": "application/octet-stream",
        # A page that somebody has stored must not act in the name of who looks at it.
        "X-Content-Type-Options": "nosniff",
    }
    if info.etag is not None:
        headers["ETag"] = f'"{info.etag}"'
    if info.mod_time is not None:
        headers["Last-Modified"] = format_datetime(info.mod_time, usegmt=True)
    return headers


def described(info: FileInfo) -> dict[str, Any]:
    """Give what JSON says of a file."""
    return {"path": info.path.removeprefix("/files"), "size": info.size}
