"""Keeps files in any storage and serves them, with Flask.

```text
PUT    /files/a/b    store the body; with `If-None-Match: *` only if nothing is there
GET    /files/a/b    the file, or the part that `Range` asks for; HEAD as well
DELETE /files/a/b    delete the file
GET    /files/a/     what is in a directory, as JSON; `?after=NAME` gives the next page
```
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, current_app, request
from per_process import PerProcess
from werkzeug.exceptions import ClientDisconnected, RequestedRangeNotSatisfiable
from werkzeug.http import is_resource_modified

from storagedriver_core import (
    AlreadyExistsError,
    ChecksumMismatchError,
    ConflictError,
    FileInfo,
    InvalidOffsetError,
    InvalidPathError,
    LimitExceededError,
    NoSpaceError,
    PathNotFoundError,
    StorageDriverError,
    SyncReader,
    SyncStorage,
    ThrottledError,
    UnsupportedMethodError,
)

CHUNK_BYTES = 256 * 1024
PAGE_ENTRIES = 1000

STATUS: dict[type[StorageDriverError], int] = {
    InvalidPathError: 400,
    ChecksumMismatchError: 400,  # fewer bytes came than were announced
    PathNotFoundError: 404,
    ConflictError: 409,
    AlreadyExistsError: 412,
    LimitExceededError: 413,
    UnsupportedMethodError: 501,
    NoSpaceError: 507,
}


def create_app(config: str = "storage.yml") -> Flask:
    """Make the application.

    Args:
        config: File that configures the storage.
    """
    app = Flask(__name__)
    storage = PerProcess(config)
    app.extensions["storage"] = storage
    app.register_error_handler(StorageDriverError, answer_error)

    @app.put("/files/<path:name>")
    def upload(name: str) -> tuple[dict[str, Any], int]:
        return described(store_body(storage(), f"/{name}")), 201

    @app.get("/files/<path:name>")
    def download(name: str) -> Response | dict[str, Any]:
        if name.endswith("/"):
            return listing(storage(), f"/{name.rstrip('/')}")
        return file_response(storage(), f"/{name}")

    @app.delete("/files/<path:name>")
    def delete(name: str) -> tuple[str, int]:
        storage().delete(f"/{name}", recursive=False)
        return "", 204

    @app.get("/files/")
    def top() -> dict[str, Any]:
        return listing(storage(), "/")

    return app


def store_body(storage: SyncStorage, path: str) -> FileInfo:
    """Store what the client sends; nothing of it shows before all of it is there."""
    is_new = request.if_none_match.star_tag
    if request.if_match or (request.if_none_match and not is_new):
        abort(501, "a writer looks at no ETag")
    size = request.content_length
    if size is None and request.headers.get("Transfer-Encoding") != "chunked":
        abort(411)
    with storage.writer(path, max_size=size) as writer:
        for chunk in body():
            writer.write(chunk)
        # Some servers end the stream of a client that went away as if all had come. The size tells.
        return writer.commit(size=size, if_absent=is_new)


def body() -> Iterator[bytes]:
    """Give what the client sends."""
    try:
        while chunk := request.stream.read(CHUNK_BYTES):
            yield chunk
    except OSError as error:
        # Where lengths stand in the stream itself, its end in the middle is told.
        raise ClientDisconnected from error


def file_response(storage: SyncStorage, path: str) -> Response:
    """Answer with a file, or with the part of it that is asked for."""
    if request.method == "HEAD":
        info = storage.stat(path)
        if info.is_dir:
            raise PathNotFoundError("it is a directory", path=path)
        return with_headers(Response(), info, info.size)
    reader, end = opened(storage, path)
    info = reader.info
    if not is_resource_modified(request.environ, info.etag, last_modified=info.mod_time):
        reader.close()
        return with_headers(Response(status=304), info, None)
    # The server closes the reader when all is sent, and when the client goes away.
    response = Response(reader, direct_passthrough=True)
    if end is not None:
        response.status_code = 206
        response.content_range.set(reader.position, end, info.size)
    whole_end = info.size if end is None else end
    return with_headers(response, info, whole_end - reader.position)


def opened(storage: SyncStorage, path: str) -> tuple[SyncReader, int | None]:
    """Open the file at what the request asks for.

    Returns:
        The reader, and the end of the part that it reads; None if that is no part but the file.
    """
    asked = request.range
    # Several ranges may be answered with everything, and so may those of units that nobody knows.
    if asked is None or asked.units != "bytes" or len(asked.ranges) > 1:
        return storage.reader(path), None
    start, stop = asked.ranges[0]
    try:
        if start < 0:
            reader = storage.reader(path, suffix=-start)
        else:
            length = None if stop is None else stop - start
            reader = storage.reader(path, offset=start, length=length)
    except InvalidOffsetError:
        raise RequestedRangeNotSatisfiable(storage.stat(path).size) from None
    info = reader.info
    if "If-Range" in request.headers and is_resource_modified(
        request.environ, info.etag, last_modified=info.mod_time, ignore_if_range=False
    ):
        reader.close()
        return storage.reader(path), None
    if reader.position >= info.size:
        reader.close()
        raise RequestedRangeNotSatisfiable(info.size)
    return reader, info.size if stop is None else min(stop, info.size)


def with_headers(response: Response, info: FileInfo, length: int | None) -> Response:
    """Say what the file is, and how many bytes of it come."""
    response.headers["Accept-Ranges"] = "bytes"
    response.content_type = mimetypes.guess_type(info.path)[0] or "application/octet-stream"
    if length is not None:
        response.content_length = length
    response.last_modified = info.mod_time
    if info.etag is not None:
        response.set_etag(info.etag)
    # A page that somebody has stored must not act in the name of who looks at it.
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def listing(storage: SyncStorage, path: str) -> dict[str, Any]:
    """Give one page of a directory, and the name after which the next one begins."""
    after = request.args.get("after")
    start = None if after is None else f"{path.rstrip('/')}/{after}"
    found = list(storage.list(path, start_after=start, limit=PAGE_ENTRIES + 1))
    page = [described(info) for info in found[:PAGE_ENTRIES]]
    return {"entries": page, "next": page[-1]["name"] if len(found) > PAGE_ENTRIES else None}


def described(info: FileInfo) -> dict[str, Any]:
    """Give what JSON says of a file or directory; a directory's name ends in a slash."""
    name = info.path.rpartition("/")[2]
    if info.is_dir:
        return {"name": f"{name}/"}
    modified = info.mod_time and info.mod_time.isoformat()
    return {"name": name, "size": info.size, "modified": modified}


def answer_error(error: StorageDriverError) -> tuple[dict[str, str], int, dict[str, str]]:
    """Answer with the status of an error's type."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)
    if status is not None:
        return {"error": str(error)}, status, {}
    headers = {}
    if isinstance(error, ThrottledError) and error.retry_after:
        headers["Retry-After"] = str(int(error.retry_after) + 1)
    # What is wrong with the store is for the log alone.
    current_app.logger.error("%s", error)
    return {"error": "the store does not answer"}, 503 if error.temporary else 500, headers
