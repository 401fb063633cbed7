"""webdav4's filesystem, by the HTTP client that it holds.

Its own calls list a directory in order to look at it, take the wrong resource for names with `%`,
and repeat by themselves.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    ConflictError,
    FileInfo,
    PathNotFoundError,
    PermissionDeniedError,
    ReadOptions,
    StorageDriverError,
    UnavailableError,
    byte_range,
    parent,
)
from storagedriver_fsspec._errors import from_status, translated, translating
from storagedriver_fsspec._files import Body, Take, utc
from storagedriver_fsspec._plain import PlainFiles, check_range

_CHUNK_BYTES = 1024 * 1024
_MULTISTATUS = 207
# Source: RFC 4918, section 9.1. Only what is read: some servers compute the others.
_WANTED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)
# Source: RFC 4918, section 9.10.
_LOCK = (
    b'<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:">'
    b"<lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>"
)
# Source: RFC 4918, section 9.2.
_NAMESPACE = "urn:storagedriver"
_STAMP = (
    b'<?xml version="1.0" encoding="utf-8"?><propertyupdate xmlns="DAV:"><set><prop>'
    b'<upload xmlns="urn:storagedriver">%s</upload></prop></set></propertyupdate>'
)
_STAMP_WANTED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b'<upload xmlns="urn:storagedriver"/></prop></propfind>'
)
_LOCKED = 423
# What says that it is done (RFC 4918, sections 9.3 to 9.10; RFC 9110, section 9.3.4). A 200 for
# these is a page of something in between.
_ANSWERS = {
    "PUT": (201, 204),
    "MOVE": (201, 204, _MULTISTATUS),
    "COPY": (201, 204, _MULTISTATUS),
    "DELETE": (204, _MULTISTATUS),
}
_WAITING = ("MOVE", "COPY", "DELETE", "MKCOL")
_LOCK_TRIES = 100
_RENAME_TRIES = 20
_LOCK_PAUSE_SECONDS = 0.05
_REDIRECTS = range(300, 400)


class ResponseBody(Body):
    """The body of one GET: of one version of the resource."""

    def __init__(self, info: FileInfo, response: Any, length: int) -> None:
        self.info = info
        self._response = response
        self._left = length
        self._pieces: Iterator[bytes] = response.iter_raw(_CHUNK_BYTES)
        self._rest = b""

    async def read(self, size: int) -> bytes:
        if not self._left:
            return b""
        if not self._rest:
            with translating():
                self._rest = next(self._pieces, b"")
            if not self._rest:
                raise UnavailableError(f"the body ended {self._left} bytes early")
        size = min(size, self._left)
        piece, self._rest = self._rest[:size], self._rest[size:]
        self._left -= len(piece)
        return piece

    async def close(self) -> None:
        self._response.close()


class WebdavFiles(PlainFiles):
    """A collection of a WebDAV server.

    A PUT that breaks off may leave half of the body, so nothing is ever put under its own name.
    """

    @translated()
    async def open(self, *, create: bool) -> None:
        self._fs = self._make()
        self._http = self._fs.client.http
        base = self._fs.client.base_url
        self._base = base.copy_with(raw_path=b"/", query=None, fragment=None)
        self._prefix = quote(base.path.rstrip("/")) + quote(self._root)
        if create and self._root and not await self.exists():
            await self._make_root()

    async def close(self) -> None:
        fs, self._fs = self._fs, None
        if fs is not None:
            fs.client.http.close()

    async def exists(self) -> bool:
        try:
            return (await self.info("/")).is_dir
        except PathNotFoundError:
            return False

    @translated()
    async def info(self, path: str) -> FileInfo:
        found = list(self._propfind(path, "0"))
        if not found:
            raise UnavailableError("the server's answer names no resource")
        return _named(found[0][1], path)

    @translated()
    async def visit(self, path: str, take: Take) -> None:
        own = unquote(self._url(path).raw_path.decode()).rstrip("/")
        for place, info in self._propfind(path, "1"):
            if place.rstrip("/") == own:
                if not info.is_dir:
                    raise PathNotFoundError("a file is not a directory", path=path)
                continue
            name = place.rstrip("/").rpartition("/")[2]
            take(_named(info, f"{path.rstrip('/')}/{name}"))

    @translated()
    async def body(self, path: str, options: ReadOptions) -> Body:
        headers = {"accept-encoding": "identity"}
        asked = _range_of(options)
        if asked:
            headers["range"] = asked
        request = self._http.build_request("GET", self._url(path), headers=headers)
        response = self._http.send(request, stream=True, follow_redirects=False)
        try:
            return await self._body_of(path, options, response, asked)
        except BaseException:
            response.close()
            raise

    async def _body_of(self, path: str, options: ReadOptions, response: Any, asked: str) -> Body:
        status = response.status_code
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # At the end, beyond it, or of an empty file: only the size tells.
            info = await self._file(path)
            check_range(info, options)
            start, end = byte_range(info.size, options)
            if start != end:
                raise UnavailableError("the server refuses a range that is there")
            return ResponseBody(info, response, 0)
        if status in _REDIRECTS or status == HTTPStatus.METHOD_NOT_ALLOWED:
            await self._file(path)  # which a collection is not
        self._check(response)
        size = _length(response)
        if status == HTTPStatus.PARTIAL_CONTENT:
            size = int(response.headers["content-range"].rpartition("/")[2])
        elif asked and size:
            raise StorageDriverError("the server ignores that a range was asked")
        info = _info_of(path, size, response.headers)
        if info.mod_time is None or info.etag is None:
            # Some servers give a collection as a page, and so do some proxies that are in trouble.
            found = await self._file(path)
            if (info.mod_time or info.etag) is None and (found.mod_time or found.etag) is not None:
                raise UnavailableError("the server's answer is not the resource")
            info = FileInfo(path, size, found.mod_time, etag=found.etag)
        check_range(info, options)
        start, end = byte_range(size, options)
        if end > start and _length(response) != end - start:
            raise UnavailableError("the server gives another range than was asked")
        return ResponseBody(info, response, end - start)

    async def read(self, path: str) -> bytes:
        body = await self.body(path, ReadOptions())
        try:
            pieces = []
            while piece := await body.read(_CHUNK_BYTES):
                pieces.append(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            await body.close()

    @translated(writing=True)
    async def write(self, path: str, data: Sequence[Buffer]) -> FileInfo | None:
        size = sum(memoryview(chunk).nbytes for chunk in data)
        self._put(path, (bytes(chunk) for chunk in data), size)
        return None

    @translated(writing=True)
    async def concatenate(self, sources: Sequence[str], target: str) -> None:
        if len(sources) == 1:
            await self.copy(sources[0], target)
            return
        # By a file of this machine, not from one request into the other: while a file is open for
        # writing, rclone answers no read of its directory, if it has to look at that anew.
        with tempfile.TemporaryFile(prefix="storagedriver-") as spool:
            for source in sources:
                body = await self.body(source, ReadOptions())
                try:
                    while piece := await body.read(_CHUNK_BYTES):
                        spool.write(piece)
                finally:
                    await body.close()
            size = spool.tell()
            spool.seek(0)
            self._put(target, iter(lambda: spool.read(_CHUNK_BYTES), b""), size)

    @translated(writing=True, changing=True)
    async def remove(self, path: str) -> None:
        self._request("DELETE", path, changing=True)

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        for attempt in range(_RENAME_TRIES):
            try:
                # To overwrite is to delete first, whatever is there (RFC 4918, section 9.9.3).
                return await self._move(source, target, overwrite=False)
            except AlreadyExistsError:
                if not replace:
                    raise
            try:
                if (await self.info(target)).is_dir:
                    raise ConflictError("it is a directory", path=target)
                return await self._move(source, target, overwrite=True)
            except (PathNotFoundError, UnavailableError) as error:
                # Another may overwrite it in this moment. While the source is there, it is
                # nobody's; if it is not, who has it cannot be told.
                if attempt == _RENAME_TRIES - 1 or not await self._is_there(source):
                    raise error from None
                # To let it finish. Such coroutines run in threads, without a loop.
                time.sleep(_LOCK_PAUSE_SECONDS)  # noqa: ASYNC251
        raise ConflictError("others overwrite it all the time", path=target)

    async def _is_there(self, path: str) -> bool:
        try:
            return not (await self.info(path)).is_dir
        except StorageDriverError:
            return False

    async def _move(self, source: str, target: str, *, overwrite: bool) -> None:
        try:
            await self._transfer("MOVE", source, target, overwrite=overwrite)
        except PermissionDeniedError:
            # Some servers say so of whatever they cannot rename.
            await self._file(source)
            if not (await self.info(parent(target))).is_dir:
                raise ConflictError("a part of the path is a file", path=target) from None
            # It may have been made in this moment.
            await self._transfer("MOVE", source, target, overwrite=overwrite)

    async def copy(self, source: str, target: str) -> None:
        await self._transfer("COPY", source, target, overwrite=True)

    @translated(writing=True, changing=True)
    async def _transfer(self, method: str, source: str, target: str, *, overwrite: bool) -> None:
        url = self._url(target)
        # Without the user and password that the address may hold.
        place = b"%s://%s%s" % (url.raw_scheme, url.netloc, url.raw_path)
        headers = {"destination": place.decode(), "overwrite": "T" if overwrite else "F"}
        self._request(method, source, headers=headers, changing=True)

    async def make_directory(self, path: str) -> None:
        try:
            await self._make_collection(path)
        except UnavailableError:
            # A server may fail over one that another request makes in this moment.
            try:
                await self.info(path)
            except StorageDriverError:
                pass
            else:
                raise AlreadyExistsError(path=path) from None
            raise

    @translated(writing=True)
    async def _make_collection(self, path: str) -> None:
        self._mkcol(self._url(path))

    async def remove_directory(self, path: str) -> None:
        # DELETE takes along whatever is below. So it is locked first, and then seen to be empty.
        # Where there are no locks, an empty collection stays.
        if await self.children(path):
            raise ConflictError("the directory is not empty", path=path)
        lock, was_there = await self._lock(path)
        try:
            # Who locks what is not there makes a file of it (RFC 4918, section 9.10.4).
            if was_there and await self.children(path):
                raise ConflictError("the directory is not empty", path=path)
            await self._remove_locked(path, lock)
        finally:
            # Some servers keep the lock of what is gone, and refuse to lock what was above it.
            with suppress(StorageDriverError):
                await self._unlock(path, lock)

    async def stamp(self, path: str, stamp: str) -> None:
        # A dead property, which a MOVE takes along (RFC 4918, section 9.9.1). A server that keeps
        # none says so within its 207.
        with suppress(StorageDriverError):
            await self._proppatch(path, stamp)

    @translated(writing=True)
    async def _proppatch(self, path: str, stamp: str) -> None:
        headers = {"content-type": "application/xml"}
        self._request("PROPPATCH", path, headers=headers, content=_STAMP % stamp.encode())

    @translated()
    async def stamp_of(self, path: str) -> str:
        headers = {"depth": "0", "content-type": "application/xml"}
        response = self._request("PROPFIND", path, headers=headers, content=_STAMP_WANTED)
        try:
            tree = ElementTree.fromstring(response.content)
        except ElementTree.ParseError:
            raise UnavailableError("the server's answer is not whole") from None
        return tree.findtext(f".//{{{_NAMESPACE}}}upload") or ""

    async def remove_all(self, path: str) -> None:
        with suppress(PathNotFoundError):
            await self.remove(path)

    @translated(writing=True)
    async def _lock(self, path: str) -> tuple[str, bool]:
        """Lock what is at `path`; give the lock, and whether something was there."""
        headers = {"depth": "infinity", "timeout": "Second-30", "content-type": "application/xml"}
        response = self._request("LOCK", path, headers=headers, content=_LOCK)
        token: str = response.headers.get("lock-token", "")
        if not token:
            raise UnavailableError("the server's answer names no lock")
        return token, response.status_code != HTTPStatus.CREATED

    @translated(writing=True, changing=True)
    async def _remove_locked(self, path: str, lock: str) -> None:
        self._request("DELETE", path, headers={"if": f"({lock})"}, changing=True)

    @translated(writing=True)
    async def _unlock(self, path: str, lock: str) -> None:
        self._request("UNLOCK", path, headers={"lock-token": lock})

    async def _make_root(self) -> None:
        parts = self._root.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            place = "/" + "/".join(parts[:count])
            full = self._prefix.removesuffix(quote(self._root)) + quote(place)
            try:
                self._mkcol(self._base.copy_with(raw_path=full.encode()))
            except AlreadyExistsError:
                continue

    async def _file(self, path: str) -> FileInfo:
        info = await self.info(path)
        if info.is_dir:
            raise PathNotFoundError("a directory is not a file", path=path)
        return info

    # Requests ----------------------------------------------------------------------------------

    def _url(self, path: str) -> Any:
        # By the raw path: httpx takes `%2F` in a name for a slash that is quoted already.
        return self._base.copy_with(raw_path=f"{self._prefix}{quote(path)}".encode())

    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Any = None,
        changing: bool = False,
    ) -> Any:
        response = self._send(method, self._url(path), headers=headers, content=content)
        self._check(response, changing=changing)
        if response.status_code not in _ANSWERS.get(method, (response.status_code,)):
            failed = UnavailableError("the server's answer is none of WebDAV")
            failed.outcome = "unknown" if changing else "none"
            raise failed
        if response.status_code == _MULTISTATUS and not method.startswith("PROP"):
            # Part of it failed (RFC 4918, section 9.6.1).
            raise StorageDriverError("the server could not do all of it", outcome="unknown")
        return response

    def _send(self, method: str, url: Any, **options: Any) -> Any:
        for _ in range(_LOCK_TRIES):
            response = self._http.request(method, url, follow_redirects=False, **options)
            if response.status_code != _LOCKED or method not in _WAITING:
                break
            # Another request is at the same path, or another process sees whether it is empty.
            time.sleep(_LOCK_PAUSE_SECONDS)
        return response

    @staticmethod
    def _check(response: Any, *, changing: bool = False) -> None:
        if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            after = response.headers.get("retry-after", "")
            raise from_status(response.status_code, changing=changing, retry_after=after)

    def _put(self, path: str, pieces: Iterator[bytes], size: int) -> None:
        headers = {"content-length": str(size), "content-type": "application/octet-stream"}
        try:
            self._request("PUT", path, headers=headers, content=pieces)
        except ConflictError:
            # Source: RFC 4918, section 9.7.1: 409 where a parent is missing.
            raise PathNotFoundError("the collection is missing", path=path) from None

    def _mkcol(self, url: Any) -> None:
        response = self._send("MKCOL", url)
        status = response.status_code
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            # Source: RFC 4918, section 9.3.1, as the next one.
            raise AlreadyExistsError
        if status == HTTPStatus.CONFLICT:
            raise PathNotFoundError("the collection is missing")
        self._check(response)
        if status != HTTPStatus.CREATED:
            raise UnavailableError("the server's answer is none of WebDAV")

    def _propfind(self, path: str, depth: str) -> Iterator[tuple[str, FileInfo]]:
        headers = {"depth": depth, "content-type": "application/xml"}
        with self._http.stream(
            "PROPFIND", self._url(path), headers=headers, content=_WANTED, follow_redirects=False
        ) as response:
            self._check(response)
            if response.status_code != _MULTISTATUS:
                raise UnavailableError("the server's answer is none of WebDAV")
            try:
                yield from _entries(response.iter_bytes())
            except ElementTree.ParseError:
                raise UnavailableError("the server's answer is not whole") from None


def _entries(pieces: Iterator[bytes]) -> Iterator[tuple[str, FileInfo]]:
    """Read the resources of a PROPFIND as they come, and keep none."""
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    root: ElementTree.Element | None = None
    for piece in pieces:
        parser.feed(piece)
        for event, found in parser.read_events():
            if root is None:
                root = found
            elif event == "end" and found.tag == "{DAV:}response":
                yield _entry(found)
                root.clear()
    parser.close()


def _entry(response: ElementTree.Element) -> tuple[str, FileInfo]:
    """Read one resource of a PROPFIND: its path, as the server writes it, and what it is."""
    href = response.findtext("{DAV:}href") or ""
    props: dict[str, ElementTree.Element] = {}
    for found in response.iterfind("{DAV:}propstat"):
        if " 200" in (found.findtext("{DAV:}status") or " 200"):
            for prop in found.iterfind("{DAV:}prop/*"):
                props[prop.tag.removeprefix("{DAV:}")] = prop
    kind = props.get("resourcetype")
    path = unquote(urlsplit(href).path)
    if kind is not None and kind.find("{DAV:}collection") is not None:
        return path, FileInfo(path, is_dir=True)
    texts = {name: prop.text or "" for name, prop in props.items()}
    headers = {"last-modified": texts.get("getlastmodified"), "etag": texts.get("getetag")}
    return path, _info_of(path, int(texts.get("getcontentlength") or 0), headers)


def _info_of(path: str, size: int, headers: Mapping[str, str | None]) -> FileInfo:
    time = headers.get("last-modified")
    # Some servers quote it in a header and not in a property.
    etag = (headers.get("etag") or "").strip('"') or None
    return FileInfo(path, size, utc(parsedate_to_datetime(time)) if time else None, etag=etag)


def _named(info: FileInfo, path: str) -> FileInfo:
    if info.is_dir:
        return FileInfo(path, is_dir=True)
    return FileInfo(path, info.size, info.mod_time, etag=info.etag)


def _length(response: Any) -> int:
    text = response.headers.get("content-length", "")
    if not text.isdecimal():
        raise UnavailableError("the server does not tell the length")
    return int(text)


def _range_of(options: ReadOptions) -> str:
    """Give the Range header, or nothing for the whole file."""
    if options.suffix is not None:
        return f"bytes=-{options.suffix}" if options.suffix else "bytes=-1"
    if options.length is not None:
        # There is no way to ask for nothing.
        return f"bytes={options.offset}-{options.offset + max(options.length, 1) - 1}"
    return f"bytes={options.offset}-" if options.offset else ""
