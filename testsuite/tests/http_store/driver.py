"""A correct driver of the server: a thin translation, as a driver of a cloud store is."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

import storagedriver_core
from storagedriver_core import (
    Buffer,
    BytesStream,
    ByteStream,
    Capabilities,
    CompleteOptions,
    Conditions,
    DeleteReport,
    FileInfo,
    InvalidOffsetError,
    ListOptions,
    Part,
    PartialDeleteError,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    SignedMethod,
    StorageDriver,
    StorageDriverError,
    UnavailableError,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
    is_internal,
)

from . import signing
from .client import Client

CAPABILITIES = Capabilities(
    get_range=True,
    get_with_conditions=True,
    put_if_absent=True,
    put_if_match=True,
    put_with_metadata=True,
    copy=True,
    copy_if_absent=True,
    move_if_absent=True,
    copy_part=True,
    upload=True,
    upload_out_of_order=True,
    list_uploads=True,
    walk_with_start_after=True,
    checksum_algorithms=("md5", "sha256"),
    sign_get=True,
    sign_head=True,
    sign_put=True,
    sign_put_with_content_type=True,
    move="server_copy",
    atomic_commit=True,
    list_after_write=True,
    durable_parts=True,
    ordered_walk=True,
    fresh_reads=True,
    pinned_reads=True,
    shared_between_processes=True,
    bounded_memory=True,
    abort_frees=True,
    independent_uploads=True,
    path_alphabet="any",
    file_and_directory_share_name=True,
    max_path_bytes=1024,
    max_component_bytes=1024,
    max_metadata_bytes=2048,
    min_part_size=1,
    max_parts=10_000,
)
BATCH = 1000


class HttpDriver(StorageDriver):
    """A bucket of the server.

    Args:
        endpoint: Base URL of the server.
        bucket: Name of the bucket.
        key: Name of the secret.
        secret: The secret.
        public: Base URL for signed URLs, if another.
    """

    name: ClassVar[str] = "http"

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        key: str = "main",
        secret: bytes | None = None,
        public: str = "",
    ) -> None:
        self._arguments = (endpoint, bucket, key, secret, public)
        self._bucket = bucket
        self._key = key
        self._secret = signing.KEYS[key] if secret is None else secret
        self._endpoint = endpoint
        self._public = public or endpoint
        self.client = Client(endpoint, key, self._secret)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self._arguments))

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def open(self) -> None:
        await self.client.open()

    async def aclose(self) -> None:
        await self.client.aclose()

    def target(self, path: str, **query: object) -> str:
        return signing.target_of(self._bucket, path, urlencode(query) if query else "")

    async def identity(self) -> Mapping[str, str]:
        return {"credentials": "static", "access_key": self._key, "bucket": self._bucket}

    async def now(self) -> datetime:
        return datetime.fromisoformat(await self.client.call("GET", self.target("", now="")))

    # Reading

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        if path != "/":
            with suppress(PathNotFoundError):
                async with await self.client.send(
                    "HEAD", self.target(path), headers=_conditions(conditions), allowed=(404,)
                ) as answer:
                    if answer.status == 200:
                        return info_of(path, answer)
        page = await self.client.call("GET", self.target("", list=path, count=1))
        if not page["exists"]:
            raise PathNotFoundError
        return FileInfo(path, is_dir=True)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        headers = _conditions(options.conditions)
        if options.suffix == 0 or options.length == 0:
            async with await self.client.send("HEAD", self.target(path), headers=headers) as answer:
                return BytesStream(info_of(path, answer), b"", options)
        wanted = _range(options)
        if wanted:
            headers["Range"] = wanted
        answer = await self.client.send(
            "GET", self.target(path), headers=headers, allowed=(416,) if wanted else ()
        )
        try:
            info = info_of(path, answer)
            if answer.status == 416:
                answer.close()
                if options.offset > info.size:
                    raise InvalidOffsetError(offset=options.offset)
                return BytesStream(info, b"", options)
            if wanted:
                self.require_range(answer)
            return HttpStream(info, answer)
        except BaseException:
            answer.close()
            raise

    def require_range(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status != 206:
            raise UnavailableError("the server ignores the range")

    async def checksum(self, path: str, algorithm: str) -> str:
        digest: str = await self.client.call("GET", self.target(path, digest=algorithm))
        return digest

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        async for page in self._pages("list", path, options):
            yield page

    async def walk(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        async for page in self._pages("walk", path, options):
            yield page

    async def _pages(
        self, kind: str, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        after = options.start_after
        while True:
            query = {kind: path, "count": options.page_size}
            if after is not None:
                query["after"] = after
            page = await self.client.call("GET", self.target("", **query))
            if not page["exists"]:
                raise PathNotFoundError
            entries = [info_from(values) for values in page["entries"]]
            yield entries
            if not page["more"]:
                return
            last = entries[-1]
            after = f"{last.path}/" if last.is_dir else last.path

    # Changing

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        headers = {"X-Metadata": _encoded(options.metadata)}
        if options.content_type is not None:
            headers["Content-Type"] = options.content_type
        if options.if_absent:
            headers["X-If-Absent"] = "1"
        if options.if_match is not None:
            headers["X-If-Match"] = options.if_match
        return info_from(
            await self.client.call_with("PUT", self.target(path), bytes(data), headers=headers)
        )

    async def delete(self, path: str) -> None:
        found = False
        failures: dict[str, StorageDriverError] = {}
        own = [path] if path != "/" else []
        with suppress(PathNotFoundError):
            async for page in self.walk(path, ListOptions()):
                below = [info.path for info in page]
                if path == "/":
                    below = [each for each in below if not is_internal(each)]
                paths = [*own, *below]
                own = []
                report = await self.delete_many(paths)
                failures.update(report.failed)
                found = found or bool(report.deleted or report.failed)
        if own:
            report = await self.delete_many(own)
            failures.update(report.failed)
            found = bool(report.deleted or report.failed)
        if failures:
            if list(failures) == [path]:
                raise failures[path]
            raise PartialDeleteError(failures=failures)
        if not found and path != "/":
            raise PathNotFoundError

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        deleted: list[str] = []
        missing: list[str] = []
        failed: dict[str, StorageDriverError] = {}
        for start in range(0, len(paths), BATCH):
            batch = list(paths[start : start + BATCH])
            report = await self.client.call("POST", self.target("", delete=""), batch)
            deleted += report["deleted"]
            missing += report["missing"]
            for path, name in report["failed"].items():
                error: StorageDriverError = getattr(storagedriver_core, name)(path=path)
                failed[path] = error.stamp(self.name, "delete_many", path)
        return DeleteReport(tuple(deleted), tuple(missing), failed)

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        headers = {"X-Copy-Source": quote(source)}
        if if_absent:
            headers["X-If-Absent"] = "1"
        await self.client.call("PUT", self.target(target), headers=headers)

    async def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
        await self.copy(source, target, if_absent=if_absent)
        try:
            await self.client.call("DELETE", self.target(source))
        except PathNotFoundError:
            pass  # somebody else has deleted what is at the target now
        except StorageDriverError as error:
            error.outcome = "unknown"
            raise

    async def redirect_url(
        self,
        path: str,
        *,
        method: SignedMethod,
        expires: timedelta,
        content_type: str | None = None,
    ) -> str:
        return self.signed_url(self._public, path, method, expires, content_type or "")

    def signed_url(
        self, host: str, path: str, method: str, expires: timedelta, content_type: str
    ) -> str:
        """Give the URL of a file at the public endpoint, signed for a host."""
        target, seconds = self.target(path), expires.total_seconds()
        query = signing.signed_query(
            self._key, self._secret, method, urlsplit(host).netloc, target, seconds, content_type
        )
        return f"{self._public}{target}?{query}"

    # Uploads

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        order = {
            "holder": holder,
            "content_type": options.content_type,
            "metadata": dict(options.metadata),
        }
        call = self.client.call("POST", self.target(path, uploads=""), order)
        opening = asyncio.ensure_future(call)
        try:
            answer = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The server may have made one, whose name only its reply tells.
            with suppress(StorageDriverError):
                answer = await opening
                await self.abort_upload(Upload(path, answer["id"]))
            raise
        return Upload(path, answer["id"], holder=holder, options=options)

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        target = self._part(upload, number, offset)
        answer = await self.client.call_with("PUT", target, b"".join(data))
        return Part(number, offset, answer["size"], answer["etag"])

    async def copy_part(
        self, upload: Upload, number: int, offset: int, source: str, source_offset: int, size: int
    ) -> Part:
        headers = {"X-Copy-Source": quote(source), "X-Copy-Range": f"{source_offset}+{size}"}
        target = self._part(upload, number, offset)
        answer = await self.client.call("PUT", target, headers=headers)
        return Part(number, offset, answer["size"], answer["etag"])

    def _part(self, upload: Upload, number: int, offset: int) -> str:
        query = {"part": number, "offset": offset, "holder": upload.holder}
        return self.target(upload.path, upload=upload.upload_id, **query)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        target = self.target(upload.path, upload=upload.upload_id, take="", holder=upload.holder)
        state = await self.client.call("POST", target, {"size": size, "data": dict(upload.data)})
        completed = info_from(state["completed"]) if state["completed"] else None
        return UploadState(state["size"], completed, state["data"])

    async def complete_upload(
        self, upload: Upload, parts: Sequence[Part], options: CompleteOptions
    ) -> FileInfo:
        order = {
            "parts": [(part.number, part.offset, part.size, part.etag) for part in parts],
            "size": options.size,
            "if_absent": options.if_absent,
        }
        target = self.target(upload.path, upload=upload.upload_id, holder=upload.holder)
        return info_from(await self.client.call("POST", target, order))

    async def abort_upload(self, upload: Upload) -> None:
        await self.client.call("DELETE", self.target(upload.path, upload=upload.upload_id))

    async def list_uploads(self) -> AsyncGenerator[Sequence[UploadInfo], None]:
        after = ""
        while True:
            page = await self.client.call("GET", self.target("", uploads="", after=after))
            yield [
                UploadInfo(
                    Upload(entry["path"], entry["id"]),
                    started_at=datetime.fromisoformat(entry["started"]),
                    updated_at=datetime.fromisoformat(entry["updated"]),
                    size=entry["size"],
                )
                for entry in page["uploads"]
            ]
            if not page["more"]:
                return
            after = page["uploads"][-1]["id"].rpartition("-")[2]


class HttpStream(ByteStream):
    """The body of an answer."""

    def __init__(self, info: FileInfo, answer: aiohttp.ClientResponse) -> None:
        self.info = info
        self._answer = answer

    async def next_chunk(self) -> bytes:
        try:
            return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError("the body broke off") from error

    async def aclose(self) -> None:
        # What was not read must not come.
        self._answer.close()


def _rebuild(kind: type[HttpDriver], arguments: tuple[Any, ...]) -> HttpDriver:
    endpoint, bucket, key, secret, public = arguments
    return kind(endpoint, bucket, key=key, secret=secret, public=public)


def info_of(path: str, answer: aiohttp.ClientResponse) -> FileInfo:
    """Read the headers of an object."""
    headers = answer.headers
    try:
        return FileInfo(
            path,
            size=int(headers["X-Size"]),
            mod_time=datetime.fromisoformat(headers["X-Modified"]),
            etag=headers["ETag"].strip('"'),
            content_type=headers.get("Content-Type"),
            metadata=json.loads(base64.b64decode(headers["X-Metadata"])),
        )
    except (KeyError, ValueError) as error:
        raise UnavailableError("the answer is not the store's") from error


def info_from(values: Mapping[str, Any]) -> FileInfo:
    """Read an entry of the server's JSON."""
    when = values["mod_time"]
    return FileInfo(**{**values, "mod_time": datetime.fromisoformat(when) if when else None})


def _encoded(metadata: Mapping[str, str]) -> str:
    return base64.b64encode(json.dumps(dict(metadata)).encode()).decode()


def _conditions(conditions: Conditions | None) -> dict[str, str]:
    if conditions is None:
        return {}
    values = dataclasses.asdict(conditions)
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = value.isoformat()
    return {"X-Conditions": json.dumps(values)}


def _range(options: ReadOptions) -> str:
    if options.suffix is not None:
        return f"bytes=-{options.suffix}"
    if options.length is not None:
        return f"bytes={options.offset}-{options.offset + options.length - 1}"
    return f"bytes={options.offset}-" if options.offset else ""
