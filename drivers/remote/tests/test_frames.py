"""What was cut off or damaged on the way is never taken for whole."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from storagedriver_inmemory import InMemoryDriver
from storagedriver_remote._frames import HEAD, FrameReader, frame
from storagedriver_remote.server._listening import listening
from storagedriver_remote.server._service import Service

from storagedriver_core import ConflictError, PathNotFoundError, Storage, UnavailableError

CONTENT = frame(b"H", {"size": 6}) + HEAD.pack(b"D", 3) + b"abc" + HEAD.pack(b"D", 3) + b"def"
PAGES = frame(b"P", [1, 2]) + frame(b"P", []) + frame(b"P", [3])
END = frame(b"E", {})
FAILED = frame(b"E", {"error": {"type": "ConflictError", "message": "replaced"}})

Read = Callable[[FrameReader], Awaitable[Any]]


def reader_of(data: bytes, size: int) -> FrameReader:
    """Give the frames of an answer that comes in pieces of `size` bytes, and then ends."""
    pieces = iter([data[start : start + size] for start in range(0, len(data), size)])

    async def read() -> bytes:
        return next(pieces, b"")

    return FrameReader(read)


async def read_content(frames: FrameReader) -> bytes:
    assert await frames.head() == {"size": 6}
    content = b""
    while chunk := await frames.chunk():
        content += chunk
    assert await frames.chunk() == b""
    return content


async def read_pages(frames: FrameReader) -> list[int]:
    found: list[int] = []
    while (page := await frames.page()) is not None:
        found += page
    assert await frames.page() is None
    return found


KINDS: list[tuple[Read, bytes, Any]] = [
    (read_content, CONTENT, b"abcdef"),
    (read_pages, PAGES, [1, 2, 3]),
]


@pytest.mark.parametrize(("read", "data", "expected"), KINDS)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_are_read_in_whatever_pieces_they_come(
    read: Read, data: bytes, expected: Any, size: int
) -> None:
    async def run() -> None:
        assert await read(reader_of(data + END, size)) == expected
        with pytest.raises(ConflictError, match="replaced"):
            await read(reader_of(data + FAILED, size))

    asyncio.run(run())


@pytest.mark.parametrize(("read", "data", "expected"), KINDS)
def test_answer_that_is_cut_anywhere_is_an_error(read: Read, data: bytes, expected: Any) -> None:
    async def run() -> None:
        whole = data + END
        for size in (1, 1000):
            for cut in range(len(whole)):
                with pytest.raises(UnavailableError):
                    await read(reader_of(whole[:cut], size))

    asyncio.run(run())


def test_request_that_was_damaged_or_cut_stores_nothing(tmp_path: Path) -> None:
    line = json.dumps({"path": "/a"}).encode() + b"\n"
    body = line + b"content"
    body += zlib.crc32(body).to_bytes(4, "big")

    async def put(session: aiohttp.ClientSession, data: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-storagedriver-content"}
        url = "http://localhost/v1/put_content"
        async with session.post(url, data=data, headers=headers) as answer:
            said: dict[str, Any] = await answer.json()
            return said

    async def run() -> None:
        store = InMemoryDriver()
        path = tmp_path / "socket"
        async with (
            listening(Service(Storage(store)), f"unix:{path}"),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        ):
            for position in range(len(body)):
                damaged = bytearray(body)
                damaged[position] ^= 1
                said = await put(session, bytes(damaged))
                assert said["error"]["type"] == "ChecksumMismatchError", position
                assert "error" in await put(session, body[:position]), position
            with pytest.raises(PathNotFoundError):
                await store.stat("/a")
            # It announces more than comes.
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(
                b"POST /v1/put_content HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/x-storagedriver-content\r\n"
                b"Content-Length: %d\r\n\r\n" % (len(body) + 1)
            )
            writer.write(body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            assert "result" in await put(session, body.replace(b"/a", b"/b")[:-4] + _sum("/b"))
            with pytest.raises(PathNotFoundError):
                await store.stat("/a")
            assert (await store.stat("/b")).size == 7

    def _sum(path: str) -> bytes:
        text = json.dumps({"path": path}).encode() + b"\ncontent"
        return zlib.crc32(text).to_bytes(4, "big")

    asyncio.run(run())
