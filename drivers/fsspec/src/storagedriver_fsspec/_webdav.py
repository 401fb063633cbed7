"""webdav4's filesystem, by the HTTP client that it holds.

Its own calls list a directory in order to look at it, take the wrong resource for names with `%`,
and repeat by themselves. What goes over the wire instead is `_webdav_requests`'s, and what comes
back `_webdav_answers`'s.
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

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
from storagedriver_fsspec._errors import translated, translating
from storagedriver_fsspec._files import Body, Take
from storagedriver_fsspec._plain import PlainFiles, check_range
from storagedriver_fsspec._webdav_answers import info_of, length_of, named, range_of
from storagedriver_fsspec._webdav_requests import LOCK_PAUSE_SECONDS, Requests, check

_CHUNK_BYTES = 1024 * 1024
_RENAME_TRIES = 20
_REDIRECTS = range(300, 400)


@functools.cache
def _authorities(variables: tuple[str | None, ...]) -> Any:
    """Read the certificates of authorities once: httpx takes 40 ms for them with each client.

    Args:
        variables: Those of the environment that say where they are.
    """
    import httpx

    return httpx.create_ssl_context()


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

    @staticmethod
    def completed(options: Mapping[str, Any]) -> Mapping[str, Any]:
        import httpx

        # The pool's limits would count open readers, and wait for them. Beyond the limit of those
        # that are kept, it closes some that another thread has just taken (httpcore, issue 1110).
        # Threads bound all the rest.
        limits = httpx.Limits()
        options = {"limits": limits, **options}
        # With a certificate of its own a context is nobody else's.
        if {"verify", "cert", "trust_env"} & options.keys():
            return options
        variables = tuple(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        return {**options, "verify": _authorities(variables)}

    @translated()
    async def open(self, *, create: bool) -> None:
        self._fs = self._make()
        self._requests = Requests(self._fs.client.http, self._fs.client.base_url, self._root)
        if create and self._root and not await self.exists():
            await self._make_root()

    async def close(self) -> None:
        fs, self._fs = self._fs, None
        if fs is not None:
            fs.client.http.close()

    async def exists(self) -> bool:
        try:
            return await self.is_directory("/")
        except PathNotFoundError:
            return False

    @translated()
    async def info(self, path: str) -> FileInfo:
        found = list(self._requests.find(path, "0"))
        if not found:
            raise UnavailableError("the server's answer names no resource")
        return named(found[0][1], path)

    @translated()
    async def is_directory(self, path: str) -> bool:
        # A server may read all of a file for its etag, or fail over one that is just renamed.
        found = list(self._requests.find(path, "0", kinds_only=True))
        if not found:
            raise UnavailableError("the server's answer names no resource")
        return found[0][1].is_dir

    @translated()
    async def visit(self, path: str, take: Take) -> None:
        own = self._place(path)
        for place, info in self._requests.find(path, "1"):
            if place.rstrip("/") == own:
                if not info.is_dir:
                    raise PathNotFoundError("a file is not a directory", path=path)
                continue
            name = place.rstrip("/").rpartition("/")[2]
            take(named(info, f"{path.rstrip('/')}/{name}"))

    def _place(self, path: str) -> str:
        """Give the path of a resource as the server writes it, without a slash at its end."""
        return unquote(self._requests.url(path).raw_path.decode()).rstrip("/")

    @translated()
    async def body(self, path: str, options: ReadOptions) -> Body:
        asked = range_of(options)
        response = self._requests.get(path, asked)
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
        check(response)
        size = length_of(response)
        if status == HTTPStatus.PARTIAL_CONTENT:
            size = int(response.headers["content-range"].rpartition("/")[2])
        elif asked and size:
            raise StorageDriverError("the server ignores that a range was asked")
        info = info_of(path, size, response.headers)
        if info.mod_time is None or info.etag is None:
            # Some servers give a collection as a page, and so do some proxies that are in trouble.
            found = await self._file(path)
            if (info.mod_time or info.etag) is None and (found.mod_time or found.etag) is not None:
                raise UnavailableError("the server's answer is not the resource")
            info = FileInfo(path, size, found.mod_time, etag=found.etag)
        check_range(info, options)
        start, end = byte_range(size, options)
        if end > start and length_of(response) != end - start:
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
        self._requests.put(path, (bytes(chunk) for chunk in data), size)
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
            self._requests.put(target, iter(lambda: spool.read(_CHUNK_BYTES), b""), size)

    @translated(writing=True, changing=True)
    async def remove(self, path: str) -> None:
        self._requests.delete(path)

    async def rename(self, source: str, target: str, *, replace: bool = True) -> None:
        for attempt in range(_RENAME_TRIES):
            try:
                # To overwrite is to delete first, whatever is there (RFC 4918, section 9.9.3).
                return await self._move(source, target, overwrite=False)
            except AlreadyExistsError:
                if not replace:
                    raise
            try:
                if await self.is_directory(target):
                    raise ConflictError("it is a directory", path=target)
                return await self._move(source, target, overwrite=True)
            except (PathNotFoundError, UnavailableError) as error:
                # Another may overwrite it in this moment. While the source is there, it is
                # nobody's; if it is not, who has it cannot be told.
                if attempt == _RENAME_TRIES - 1 or not await self._is_there(source):
                    raise error from None
                # To let it finish. Such coroutines run in threads, without a loop.
                time.sleep(LOCK_PAUSE_SECONDS)  # noqa: ASYNC251  # no loop here
        raise ConflictError("others overwrite it all the time", path=target)

    async def _move(self, source: str, target: str, *, overwrite: bool) -> None:
        try:
            await self._transfer("MOVE", source, target, overwrite=overwrite)
        except PermissionDeniedError:
            # Some servers say so of whatever they cannot rename.
            if await self.is_directory(source):
                raise PathNotFoundError("a directory is not a file", path=source) from None
            if not await self.is_directory(parent(target)):
                raise ConflictError("a part of the path is a file", path=target) from None
            # It may have been made in this moment.
            await self._transfer("MOVE", source, target, overwrite=overwrite)

    async def copy(self, source: str, target: str) -> None:
        await self._transfer("COPY", source, target, overwrite=True)

    @translated(writing=True, changing=True)
    async def _transfer(self, method: str, source: str, target: str, *, overwrite: bool) -> None:
        self._requests.transfer(method, source, target, overwrite=overwrite)

    async def make_directory(self, path: str) -> None:
        try:
            await self._make_collection(path)
        except UnavailableError:
            # A server may fail over one that another request makes in this moment.
            try:
                await self.is_directory(path)
            except StorageDriverError:
                pass
            else:
                raise AlreadyExistsError(path=path) from None
            raise

    @translated(writing=True)
    async def _make_collection(self, path: str) -> None:
        self._requests.make_collection(path)

    async def remove_directory(self, path: str) -> None:
        await self._remove_empty(path, patient=False)

    async def remove_emptied(self, path: str) -> None:
        # A lock whose reply, or whose end, was lost is there until its time is over.
        await self._remove_empty(path, patient=True)

    async def _remove_empty(self, path: str, *, patient: bool) -> None:
        # DELETE takes along whatever is below. So it is locked first, and then seen to be empty.
        # Where there are no locks, an empty collection stays.
        await self._require_empty(path)
        lock, was_there = await self._lock(path, patient=patient)
        try:
            # Who locks what is not there makes a file of it (RFC 4918, section 9.10.4).
            if was_there:
                await self._require_empty(path)
            await self._remove_locked(path, lock)
        finally:
            # Some servers keep the lock of what is gone, and refuse to lock what was above it.
            with suppress(StorageDriverError):
                await self._unlock(path, lock)

    @translated()
    async def _require_empty(self, path: str) -> None:
        own = self._place(path)
        # Itself and one member are enough: the others are not waited for.
        with closing(self._requests.find(path, "1", kinds_only=True)) as found:
            places = [place.rstrip("/") for place, _ in itertools.islice(found, 2)]
        if any(place != own for place in places):
            raise ConflictError("the directory is not empty", path=path)
        if not places:
            raise UnavailableError("the server's answer names no resource")

    async def stamp(self, path: str, stamp: str) -> None:
        # A dead property, which a MOVE takes along (RFC 4918, section 9.9.1). A server that keeps
        # none says so within its 207.
        with suppress(StorageDriverError):
            await self._proppatch(path, stamp)

    @translated(writing=True)
    async def _proppatch(self, path: str, stamp: str) -> None:
        self._requests.put_stamp(path, stamp)

    @translated()
    async def stamp_of(self, path: str) -> str:
        return self._requests.stamp(path)

    async def remove_all(self, path: str) -> None:
        with suppress(PathNotFoundError):
            await self.remove(path)

    @translated(writing=True)
    async def _lock(self, path: str, *, patient: bool) -> tuple[str, bool]:
        return self._requests.lock(path, patient=patient)

    @translated(writing=True, changing=True)
    async def _remove_locked(self, path: str, lock: str) -> None:
        self._requests.delete(path, lock)

    @translated(writing=True)
    async def _unlock(self, path: str, lock: str) -> None:
        self._requests.unlock(path, lock)

    async def _make_root(self) -> None:
        parts = self._root.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            with suppress(AlreadyExistsError):
                self._requests.make_collection_above("/" + "/".join(parts[:count]))

    async def _file(self, path: str) -> FileInfo:
        info = await self.info(path)
        if info.is_dir:
            raise PathNotFoundError("a directory is not a file", path=path)
        return info
