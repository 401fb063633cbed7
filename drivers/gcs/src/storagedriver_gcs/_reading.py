"""Downloads: one request for each, pinned to one generation by being one answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

import aiohttp

from storagedriver_core import (
    BytesStream,
    ByteStream,
    ConflictError,
    FileInfo,
    InvalidOffsetError,
    ReadOptions,
    UnavailableError,
)
from storagedriver_gcs._client import AS_STORED, Client
from storagedriver_gcs._errors import translated
from storagedriver_gcs._objects import get_resource
from storagedriver_gcs._resources import (
    file_info,
    generation_of_media,
    info_of_media,
    preconditions,
)

# A chunk that is smaller costs more in calls than in bytes.
_LEAST_CHUNK = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class MediaStream(ByteStream):
    """The body of one download.

    Args:
        info: The object.
        response: The answer, at the beginning of its body.
        length: Bytes that the body has.
    """

    def __init__(self, info: FileInfo, response: aiohttp.ClientResponse, length: int) -> None:
        self.info = info
        self._response: aiohttp.ClientResponse | None = response
        self._left = length

    async def next_chunk(self) -> bytes:
        if self._response is None or self._left == 0:
            return b""
        content = self._response.content
        with translated():
            chunk = await content.readany()
            while chunk and len(chunk) < min(_LEAST_CHUNK, self._left):
                more = await content.readany()
                if not more:
                    break
                chunk += more
        if not chunk or len(chunk) > self._left:
            raise UnavailableError(f"the body ended {self._left} bytes early")
        self._left -= len(chunk)
        return chunk

    async def aclose(self) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        if self._left == 0 and response.content.at_eof():
            response.release()
        else:
            # What is still on its way would hold the connection up.
            response.close()


async def open_stream(client: Client, path: str, name: str, options: ReadOptions) -> ByteStream:
    """Begin to read an object.

    Raises:
        PathNotFoundError: There is no object.
        InvalidOffsetError: The offset is beyond its end.
        ConflictError: The conditions do not hold.
    """
    asked = _range(options)
    if asked is None:  # nothing is to be read, which no Range header can say
        return await _empty_stream(client, path, name, options)
    headers = {"Range": asked} if asked else {}
    query = {"alt": "media", **preconditions(options.conditions)}
    response = await client.stream(client.object_url(name), query, headers)
    try:
        if response.status == 416:
            response.close()
            return await _empty_stream(client, path, name, options)
        stream = _opened(path, response, options)
        if options.conditions is not None and not options.conditions.hold_for(stream.info):
            raise ConflictError("the conditions do not hold")
    except BaseException:
        response.close()
        raise
    return stream


async def read_whole(client: Client, name: str) -> bytes:
    """Give all bytes of an object, by one request."""
    query = {"alt": "media"}
    reply = await client.call("GET", client.object_url(name), query, headers=AS_STORED)
    generation_of_media(reply.headers)
    length = _length(reply.headers)
    if len(reply.body) != length:
        raise UnavailableError(f"{len(reply.body)} of {length} bytes came")
    return reply.body


def _range(options: ReadOptions) -> str | None:
    """Give the Range header; empty for everything, None for nothing."""
    if options.suffix is not None:
        return f"bytes=-{options.suffix}" if options.suffix else None
    if options.length is not None:
        last = options.offset + options.length - 1
        return f"bytes={options.offset}-{last}" if options.length else None
    return f"bytes={options.offset}-" if options.offset else ""


def _opened(path: str, response: aiohttp.ClientResponse, options: ReadOptions) -> MediaStream:
    length = _length(response.headers)
    if response.status == 200:
        info = info_of_media(path, response.headers, length)
        if options.offset or (options.suffix is not None and options.suffix < length):
            raise UnavailableError("the service ignored the range that was asked")
        if options.length is not None and options.length < length:
            raise UnavailableError("the service ignored the range that was asked")
        return MediaStream(info, response, length)
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        raise UnavailableError("the answer does not say which range it is")
    first, last, size = map(int, match.groups())
    expected = max(0, size - options.suffix) if options.suffix is not None else options.offset
    if first != expected or last + 1 - first != length:
        raise UnavailableError("the answer is another range than was asked")
    return MediaStream(info_of_media(path, response.headers, size), response, length)


def _length(headers: Mapping[str, str]) -> int:
    length = headers.get("Content-Length")
    if length is None:
        raise UnavailableError("the answer does not say its length")
    return int(length)


async def _empty_stream(client: Client, path: str, name: str, options: ReadOptions) -> ByteStream:
    """Look at the object where there are no bytes to read of it."""
    query = preconditions(options.conditions)
    info = file_info(path, await get_resource(client, name, query))
    if options.conditions is not None and not options.conditions.hold_for(info):
        raise ConflictError("the conditions do not hold")
    if options.offset > info.size:
        raise InvalidOffsetError(f"beyond the {info.size} bytes", offset=options.offset)
    if options.length != 0 and options.suffix != 0 and options.offset < info.size:
        raise UnavailableError("the object was replaced while it was opened")
    return BytesStream(info, b"", ReadOptions())
