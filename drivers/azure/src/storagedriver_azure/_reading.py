"""Reading a blob: one request for one range, pinned to one version by being one request."""

from __future__ import annotations

from storagedriver_azure._connection import Connection, OpenAnswer
from storagedriver_azure._objects import condition_headers, file_info
from storagedriver_core import (
    ByteStream,
    Conditions,
    ConflictError,
    FileInfo,
    InvalidOffsetError,
    ReadOptions,
    UnavailableError,
    byte_range,
)


class BlobStream(ByteStream):
    """The body of one answer.

    Args:
        info: The blob.
        answer: The answer; None for an empty range.
        size: Bytes that the range has.
    """

    def __init__(self, info: FileInfo, answer: OpenAnswer | None, size: int) -> None:
        self.info = info
        self._answer = answer
        self._left = size

    async def next_chunk(self) -> bytes:
        if self._answer is None:
            return b""
        chunk = await self._answer.next_chunk()
        self._left -= len(chunk)
        if not chunk and self._left > 0:
            raise UnavailableError(f"the body ended {self._left} bytes early")
        if self._left < 0:
            raise UnavailableError("the body is longer than the range that was asked for")
        return chunk

    async def aclose(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None


async def open_blob(
    connection: Connection, path: str, name: str, options: ReadOptions
) -> ByteStream:
    """Open a blob for reading.

    The service knows no range from the end, and none that is empty: for those the blob's size has
    to be known first, and the second request is pinned by its etag.
    """
    if options.suffix is not None or options.length == 0:
        info = await blob_info(connection, path, name, options.conditions)
        start, end = _checked_range(info, options)
        if start == end:
            return BlobStream(info, None, 0)
        pinned = Conditions(if_match=info.etag)
        options = ReadOptions(offset=start, length=end - start, conditions=pinned)
    headers = condition_headers(options.conditions)
    if options.offset or options.length is not None:
        last = "" if options.length is None else str(options.offset + options.length - 1)
        headers["x-ms-range"] = f"bytes={options.offset}-{last}"
    try:
        answer = await connection.stream(name, headers)
    except ConflictError:
        await blob_info(connection, path, name)
        raise
    except InvalidOffsetError:
        # At the end there is nothing to read, beyond it is wrong: the size tells.
        info = await blob_info(connection, path, name, options.conditions)
        start, end = _checked_range(info, options)
        if start < end:
            raise UnavailableError("the blob was replaced while it was opened") from None
        return BlobStream(info, None, 0)
    try:
        info = file_info(path, answer.headers)
        start, end = _checked_range(info, options)
        if "x-ms-range" in headers and answer.status_code != 206 and (start, end) != (0, info.size):
            raise UnavailableError("the range was ignored", temporary=False)
        # An emulator answers 206 at the end, with a range that ends before it begins.
        if start == end:
            answer.close()
            return BlobStream(info, None, 0)
        return BlobStream(info, answer, end - start)
    except BaseException:
        answer.close()
        raise


async def blob_info(
    connection: Connection, path: str, name: str, conditions: Conditions | None = None
) -> FileInfo:
    """Tell of a blob.

    Raises:
        PathNotFoundError: There is none.
        ConflictError: The conditions do not hold.
    """
    headers = condition_headers(conditions)
    try:
        answer = await connection.request("HEAD", name, headers=headers)
    except ConflictError:
        # No condition can hold for what is not there; the service does not tell these apart.
        if headers:
            await blob_info(connection, path, name)
        raise
    return file_info(path, answer.headers)


def _checked_range(info: FileInfo, options: ReadOptions) -> tuple[int, int]:
    if options.offset > info.size:
        raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
    return byte_range(info.size, options)
