"""Reading: one GET, its range checked against what came."""

from __future__ import annotations

import re
from typing import Any

from storagedriver_core import (
    ByteStream,
    FileInfo,
    InvalidOffsetError,
    ReadOptions,
    UnavailableError,
    byte_range,
)
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._errors import translating
from storagedriver_s3._info import conditions_for, info_of, require
from storagedriver_s3._socket_body import SocketBody

_ATTEMPTS_AT_A_MOVING_END = 3

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class S3Stream(ByteStream):
    """The body of one GET.

    Args:
        info: The object.
        body: The SDK's body, or what reads it from the socket.
        size: Bytes that have to come.
    """

    def __init__(self, info: FileInfo, body: Any, size: int) -> None:
        self.info = info
        self._body = body
        self._left = size

    async def next_chunk(self) -> bytes:
        if not self._left:
            return b""
        with translating(changes=False):
            chunk: bytes = await self._body.read(self.chunk_size)
        if not chunk:
            raise UnavailableError(f"the body ended {self._left} bytes early")
        self._left -= len(chunk)
        if self._left < 0:
            raise UnavailableError("more bytes came than were asked for")
        return chunk

    async def aclose(self) -> None:
        # A connection whose body came to its end is back in the pool already.
        self._body.close()


class EmptyStream(ByteStream):
    """Nothing, of an object that is there."""

    def __init__(self, info: FileInfo) -> None:
        self.info = info

    async def next_chunk(self) -> bytes:
        return b""


async def get_content(bucket: Bucket, path: str) -> bytes:
    """Give a whole file by one request."""
    response, data = await bucket.get(path)
    info = info_of(path, response, _length(response))
    if len(data) != info.size:
        raise UnavailableError(f"{len(data)} of {info.size} bytes came")
    return data


async def open_reader(bucket: Bucket, path: str, options: ReadOptions) -> ByteStream:
    """Open a range of a file."""
    if options.length == 0 or options.suffix == 0:
        return await _empty(bucket, path, options)
    parameters = conditions_for(options.conditions)
    asked = _range(options)
    if asked is not None:
        parameters["Range"] = asked
    for _ in range(_ATTEMPTS_AT_A_MOVING_END):
        try:
            response = await bucket.read("get_object", Key=bucket.keys.key(path), **parameters)
        except InvalidOffsetError:
            # There is no such byte: it may be the end, where there is nothing to read.
            info = await bucket.head(path, options.conditions)
            if options.offset > info.size:
                raise _beyond(info, options) from None
            if options.offset == info.size or info.size == 0:
                return EmptyStream(info)
            continue
        return _stream(path, response, options)
    raise UnavailableError("the object is replaced again and again")


async def _empty(bucket: Bucket, path: str, options: ReadOptions) -> ByteStream:
    info = await bucket.head(path, options.conditions)
    if options.offset > info.size:
        raise _beyond(info, options)
    return EmptyStream(info)


def _stream(path: str, response: dict[str, Any], options: ReadOptions) -> ByteStream:
    body = response["Body"]
    try:
        size, came = _extent(response)
        info = info_of(path, response, size)
        require(options.conditions, info)
        if options.offset > size:
            raise _beyond(info, options)
        if came != byte_range(size, options):
            raise UnavailableError(f"bytes {came} came, not those of the range", temporary=False)
        length = came[1] - came[0]
        if SocketBody.can_take(body.raw_stream, length):
            body = SocketBody(body.raw_stream, length)
    except BaseException:
        body.close()
        raise
    return S3Stream(info, body, length)


def _extent(response: dict[str, Any]) -> tuple[int, tuple[int, int]]:
    """Give the object's size, and the first byte and the end of what comes."""
    length = _length(response)
    if response["ResponseMetadata"]["HTTPStatusCode"] != 206:
        return length, (0, length)
    match = _CONTENT_RANGE.fullmatch(response.get("ContentRange", ""))
    if match is None:
        raise UnavailableError("a part came, and does not say which")
    first, last, size = map(int, match.groups())
    if last - first + 1 != length:
        raise UnavailableError("a part came that is not as long as it says")
    return size, (first, last + 1)


def _length(response: dict[str, Any]) -> int:
    length: int | None = response.get("ContentLength")
    if length is None:
        raise UnavailableError("the answer does not say how long it is")
    return length


def _range(options: ReadOptions) -> str | None:
    if options.suffix is not None:
        return f"bytes=-{options.suffix}"
    if options.length is not None:
        return f"bytes={options.offset}-{options.offset + options.length - 1}"
    return f"bytes={options.offset}-" if options.offset else None


def _beyond(info: FileInfo, options: ReadOptions) -> InvalidOffsetError:
    return InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
