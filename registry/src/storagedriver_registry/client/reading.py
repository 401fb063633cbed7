"""Reading a blob: in ranges, over broken connections, and checked against its digest."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from storagedriver_core import ClosedError
from storagedriver_registry.client.answers import Answer
from storagedriver_registry.client.errors import (
    ConnectionFailedError,
    DigestMismatchError,
    InvalidAnswerError,
)
from storagedriver_registry.client.origins import Origin, Search
from storagedriver_registry.client.retrying import Tries
from storagedriver_registry.client.tokens import repository_scope
from storagedriver_registry.client.transport import Request
from storagedriver_registry.digest import Digest

if TYPE_CHECKING:
    from typing import Self

_HASHED_IN_THREAD = 64 * 1024
"""Bytes from which a hop to another thread costs less than what it saves the event loop."""

_PROGRESS = 1 << 20
"""Bytes that a connection has to give before it counts as one that works."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


class RunningHash(Protocol):
    """A hash as `hashlib` has them."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Give the digest so far in lower-case hex."""


class BlobReader:
    """A blob, or a range of one, that is being read. One task at a time may use it.

    Iterate over it for chunks as they come, or `read`. Where the connection breaks, reading goes on
    from there, or there at the next mirror. Whatever is read from the beginning to the end is
    checked: `DigestMismatchError` comes before the last chunk is given, and what came until then is
    not to be used. Of a range nothing but its length can be checked. After a read that failed or
    was cancelled, as after `aclose`, any other is a `ClosedError`: it would seem to be the end.

    Attributes:
        digest: Digest of the blob.
        size: Bytes of the whole blob.
    """

    def __init__(
        self,
        search: Search,
        digest: Digest,
        *,
        offset: int = 0,
        length: int | None = None,
        before: RunningHash | None = None,
        expected_size: int | None = None,
    ) -> None:
        self.digest = digest
        self.size = -1
        self._search = search
        self._mirrors: list[Origin] = []
        self._asked = search.origin
        self._tries = Tries(self._asked.transport.retries)
        self._expected_size = expected_size
        self._length = length
        self._position = offset
        self._end = -1
        self._hash: RunningHash | None = before
        if before is None and offset == 0:
            self._hash = hashlib.new(digest.algorithm)
        self._answer: Answer | None = None
        self._skipped = 0
        self._chunks: AsyncGenerator[bytes, None] | None = self._checked()
        self._rest: bytes | memoryview = b""

    def __repr__(self) -> str:
        return f"<BlobReader of {self.digest} at {self.position}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection. Idempotent."""
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            await chunks.aclose()
        self._let_go()

    async def open(self) -> None:
        """Send the request; called once, before anything else."""
        await self._ask()

    @property
    def position(self) -> int:
        """Offset in the blob of the next byte."""
        return self._position - len(self._rest)

    # Not a generator: one that is left half-way would wait for garbage collection.
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self._next():
            return bytes(chunk)
        raise StopAsyncIteration

    async def read(self, size: int = -1) -> bytes:
        """Give the next `size` bytes, fewer only at the end; all that is left for -1."""
        parts: list[bytes | memoryview] = []
        missing = size
        while missing and (chunk := await self._next()):
            if 0 < missing < len(chunk):
                # A view: whoever reads a little at a time would have the rest copied each time.
                chunk = memoryview(chunk)
                chunk, self._rest = chunk[:missing], chunk[missing:]
            parts.append(chunk)
            missing -= len(chunk) if size > 0 else 0
        return b"".join(parts)

    async def _next(self) -> bytes | memoryview:
        """Give the next chunk; an empty one at the end."""
        # While it is at work nobody has it, and if it fails it stays so.
        chunks, self._chunks = self._chunks, None
        if chunks is None:
            raise ClosedError(f"the reader of {self.digest} is closed, or a read of it has failed")
        rest, self._rest = self._rest, b""
        chunk = rest or await anext(chunks, b"")
        self._chunks = chunks
        return chunk

    async def _checked(self) -> AsyncGenerator[bytes, None]:
        if self._end == self.size == 0:
            self._check()
        hashing: asyncio.Future[None] | None = None
        async for chunk in self._bytes():
            if hashing is not None:
                await hashing
            hashing = self._hashed(chunk)
            self._position += len(chunk)
            if self._position == self.size:
                if hashing is not None:
                    await hashing
                self._check()
            # Any but the last is hashed while it is used.
            yield chunk

    def _hashed(self, chunk: bytes) -> asyncio.Future[None] | None:
        """Hash a chunk: in a thread if it is large, which is waited for; else at once."""
        if self._hash is None:
            return None
        if len(chunk) < _HASHED_IN_THREAD:
            self._hash.update(chunk)
            return None
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(None, self._hash.update, chunk)

    async def _bytes(self) -> AsyncGenerator[bytes, None]:
        """Give what is left of the range, over as many connections as it takes."""
        failed_at = self._position
        while self._position < self._end:
            if self._answer is None:
                await self._ask()
            assert self._answer is not None
            try:
                async for chunk in self._answer.chunks():
                    begin = min(self._skipped, len(chunk))
                    self._skipped -= begin
                    wanted = chunk[begin : begin + self._end - self._position]
                    if wanted:
                        yield wanted
                    if self._position == self._end:
                        break
                self._let_go()
                if self._position < self._end:
                    raise ConnectionFailedError("the body ended early", host=self._host)
            except ConnectionFailedError as error:
                self._let_go()
                if self._position - failed_at >= _PROGRESS:
                    self._tries.begin_anew()
                failed_at = self._position
                delay = self._tries.delay(error)
                if delay is None:
                    self._search.leave(error)
                else:
                    await self._asked.transport.retries.clock.sleep(delay)

    def _let_go(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    @property
    def _host(self) -> str:
        return self._search.origin.transport.host

    async def _ask(self) -> None:
        """Ask for what is left, wherever it is."""
        origin = await self._search.first(self._ask_at)
        if not self._search.is_last and origin not in self._mirrors:
            self._mirrors.append(origin)

    async def _ask_at(self, origin: Origin) -> Origin:
        if origin is not self._asked:
            self._asked, self._tries = origin, Tries(origin.transport.retries)
        headers = {}
        if self._end >= 0:
            headers["Range"] = f"bytes={self._position}-{self._end - 1}"
        elif self._length is not None:
            headers["Range"] = f"bytes={self._position}-{self._position + self._length - 1}"
        elif self._position:
            headers["Range"] = f"bytes={self._position}-"
        answer = await origin.transport.open(
            blob_request("GET", origin, self.digest, headers, self._tries)
        )
        try:
            begin, size = self._extent(answer)
            if self._expected_size not in (None, size):
                raise DigestMismatchError(
                    f"blob {self.digest}: it has not the {self._expected_size} bytes that its "
                    "manifest says",
                    host=self._host,
                    expected=str(self._expected_size),
                    actual=str(size),
                )
            if begin > self._position or self.size not in (-1, size):
                raise InvalidAnswerError(
                    f"blob {self.digest}: another range than asked for", host=self._host
                )
        except BaseException:
            answer.close()
            raise
        if self.size < 0:
            self.size = size
            self._end = size if self._length is None else min(size, self._position + self._length)
        self._answer, self._skipped = answer, self._position - begin
        return origin

    def _extent(self, answer: Answer) -> tuple[int, int]:
        """Give the offset at which an answer begins, and the size of the blob."""
        if answer.status == 200:
            # Whole, although a range was asked for: that is allowed.
            return 0, answer.length()
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None:
            raise InvalidAnswerError("a range without Content-Range", host=self._host)
        return int(match[1]), int(match[3])

    def _check(self) -> None:
        if self._hash is None:
            return
        actual = f"{self.digest.algorithm}:{self._hash.hexdigest()}"
        if actual != str(self.digest):
            error = DigestMismatchError(
                f"blob {self.digest}: its content is {actual}",
                host=self._host,
                expected=str(self.digest),
                actual=actual,
            )
            # If several have given a part, nobody knows whose part is wrong.
            for mirror in self._mirrors:
                mirror.wrong.add(self.digest)
            error.may_be_elsewhere = bool(self._mirrors)
            raise error


def blob_request(
    method: str,
    origin: Origin,
    digest: Digest,
    headers: Mapping[str, str] | None = None,
    tries: Tries | None = None,
) -> Request:
    """Make the request that reads a blob, or a range of one."""
    return Request(
        method,
        f"/v2/{origin.name}/blobs/{digest}",
        frozenset({repository_scope(origin.name, "pull")}),
        headers or {},
        wanted=frozenset({200, 206}),
        tries=tries,
    )
