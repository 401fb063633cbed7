from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Buffer,
    ByteStream,
    ChecksumMismatchError,
    Conditions,
    DriverMiddleware,
    FileInfo,
    ListOptions,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    UnavailableError,
)
from storagedriver_core.middleware.checksum import ChecksumMiddleware, ChecksumParameters
from storagedriver_core.tests.faults import Faults

NOTES = "/.storagedriver/checksums"
DATA = bytes(range(256)) * 2048


class Rotting(DriverMiddleware):
    """A store that gives one byte of its objects wrong, once it is told to; not of notes."""

    rots = False

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        stream = await self.driver.open_reader(path, options)
        return _RottenStream(stream) if self.rots else stream


class _RottenStream(ByteStream):
    def __init__(self, stream: ByteStream) -> None:
        self.info = stream.info
        self._stream = stream
        self._is_first = True

    async def next_chunk(self) -> bytes:
        chunk = await self._stream.next_chunk()
        if self._is_first and chunk:
            self._is_first = False
            chunk = bytes([chunk[0] ^ 1]) + chunk[1:]
        return chunk


def checked(driver: StorageDriver) -> ChecksumMiddleware:
    return ChecksumMiddleware(driver, ChecksumParameters())


async def notes(driver: StorageDriver) -> list[str]:
    """Give the paths of which there are digests."""
    try:
        pages = [page async for page in driver.walk(NOTES, ListOptions())]
    except PathNotFoundError:
        return []
    return [info.path.removeprefix(NOTES) for page in pages for info in page]


async def put(storage: Storage) -> None:
    await storage.put_content("/a/b", DATA)


async def put_in_parts(storage: Storage) -> None:
    await storage.put_content("/a/b", iter([DATA[:70_000], DATA[70_000:]]))


async def write(storage: Storage) -> None:
    async with await storage.writer("/a/b", hashes=()) as writer:
        await writer.write(DATA)
        await writer.commit()


async def resume(storage: Storage) -> None:
    async with await storage.writer("/a/b", hashes=("md5",)) as writer:
        await writer.write(DATA[:100_000])
        token = await writer.suspend()
    async with await storage.resume(token.to_json()) as writer:
        await writer.write(DATA[100_000:])
        await writer.commit()


async def move(storage: Storage) -> None:
    await storage.put_content("/x", DATA)
    await storage.move("/x", "/a/b")


@pytest.mark.parametrize("way", [put, put_in_parts, write, resume, move])
def test_damaged_content_is_noticed_however_it_was_written(
    way: Callable[[Storage], Awaitable[None]],
) -> None:
    async def main() -> None:
        store = InMemoryDriver()
        driver = Rotting(store)
        async with Storage(checked(driver), part_size=64 * 1024) as storage:
            await way(storage)
            assert await notes(store) == ["/a/b"]
            assert await storage.get_content("/a/b") == DATA
            driver.rots = True
            with pytest.raises(ChecksumMismatchError) as caught:
                await storage.get_content("/a/b")
            assert caught.value.path == "/a/b"
            came = 0
            with pytest.raises(ChecksumMismatchError):
                async with await storage.reader("/a/b") as reader:
                    async for chunk in reader:
                        came += len(chunk)
            assert came < len(DATA), "all of it came before the error"

    asyncio.run(main())


def test_ranges_are_given_as_they_are() -> None:
    async def main() -> None:
        driver = Rotting(InMemoryDriver())
        async with Storage(checked(driver)) as storage:
            await put(storage)
            driver.rots = True
            async with await storage.reader("/a/b", offset=1) as reader:
                assert len(await reader.read()) == len(DATA) - 1
            async with await storage.reader("/a/b", length=10) as reader:
                assert await reader.read() != DATA[:10]

    asyncio.run(main())


def test_copy_of_the_same_etag_has_the_digest_and_of_another_has_none() -> None:
    class SameEtags(Faults):
        async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
            return replace(await super().stat(path, conditions), etag="same")

        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            stream = await super().open_reader(path, options)
            stream.info = replace(stream.info, etag="same")
            return stream

        async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
            return replace(await super().put_content(path, data, options), etag="same")

    async def main() -> None:
        for driver, copied in ((InMemoryDriver(), []), (SameEtags(InMemoryDriver()), ["/copy"])):
            async with Storage(checked(driver)) as storage:
                await put(storage)
                await storage.copy("/a/b", "/copy")
                assert await notes(driver) == ["/a/b", *copied]
                assert await storage.get_content("/copy") == DATA

    asyncio.run(main())


def test_empty_object_has_a_digest_too() -> None:
    async def main() -> None:
        store = InMemoryDriver()
        async with Storage(checked(store)) as storage:
            await storage.put_content("/a", b"")
            assert await notes(store) == ["/a"]
            assert await storage.get_content("/a") == b""

    asyncio.run(main())


def test_what_others_have_written_is_not_compared_with_an_old_digest() -> None:
    async def main() -> None:
        store = InMemoryDriver()
        async with Storage(checked(store)) as storage:
            await put(storage)
            await store.put_content("/a/b", DATA[::-1], PutOptions())
            assert await storage.get_content("/a/b") == DATA[::-1]

    asyncio.run(main())


def test_digests_go_with_their_objects() -> None:
    async def main() -> None:
        store = InMemoryDriver()
        async with Storage(checked(store)) as storage:
            for path in ("/a/b", "/a/c/d", "/e", "/f", "/g"):
                await storage.put_content(path, b"x")
            assert await notes(store) == ["/a/b", "/a/c/d", "/e", "/f", "/g"]
            await storage.delete("/a")
            assert await notes(store) == ["/e", "/f", "/g"]
            await storage.delete_many(["/e", "/missing"])
            await storage.move("/f", "/h")
            assert await notes(store) == ["/g", "/h"]
            assert [info.path async for info in storage.walk("/")] == ["/g", "/h"]
            await storage.delete("/", everything=True)
            assert await notes(store) == []

    asyncio.run(main())


def test_object_without_an_etag_is_not_compared_with_the_digest_of_another() -> None:
    """Two versions can have the same time and size, where the clock is coarse."""

    def of(info: FileInfo) -> FileInfo:
        return replace(info, etag=None, mod_time=datetime(2026, 1, 2, tzinfo=UTC))

    class Nameless(Faults):
        async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
            return of(await super().stat(path, conditions))

        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            stream = await super().open_reader(path, options)
            stream.info = of(stream.info)
            return stream

        async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
            return of(await super().put_content(path, data, options))

    async def main() -> None:
        store = InMemoryDriver()
        async with Storage(checked(Nameless(store))) as storage:
            await put(storage)
            await storage.move("/a/b", "/c")
            await storage.copy("/c", "/a/b")
            await store.put_content("/a/b", DATA[::-1], PutOptions())
            assert await storage.get_content("/a/b") == DATA[::-1]
            assert await notes(store) == []
            # As an earlier release has left it.
            note = {"version": "2026-01-02T00:00:00+00:00", "size": len(DATA), "sha256": "x"}
            await store.put_content(f"{NOTES}/a/b", json.dumps(note).encode(), PutOptions())
            assert await storage.get_content("/a/b") == DATA[::-1]

    asyncio.run(main())


def test_digest_that_cannot_be_kept_fails_no_write_and_no_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class NoNotes(Faults):
        async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
            if path.startswith(NOTES):
                raise UnavailableError
            return await super().put_content(path, data, options)

    async def main() -> None:
        store = InMemoryDriver()
        async with Storage(checked(store)) as storage:
            await put(storage)
        async with Storage(checked(NoNotes(store))) as storage:
            await storage.put_content("/a/b", b"another")
            # The digest of the one before is still there.
            assert await notes(store) == ["/a/b"]
            assert await storage.get_content("/a/b") == b"another"

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert "/a/b: its digest could not be kept" in caplog.text


def test_digest_that_cannot_be_asked_for_fails_the_read() -> None:
    class Hidden(Faults):
        async def get_content(self, path: str) -> bytes:
            if path.startswith(NOTES):
                raise UnavailableError
            return await super().get_content(path)

    async def main() -> None:
        async with Storage(checked(Hidden(InMemoryDriver()))) as storage:
            await put(storage)
            with pytest.raises(UnavailableError):
                await storage.get_content("/a/b")

    asyncio.run(main())


@pytest.mark.parametrize("note", [b"", b"{}", b"[1]", b'{"version": "x", "size": "y"}'])
def test_digest_that_cannot_be_read_is_none(note: bytes) -> None:
    async def main() -> None:
        store = InMemoryDriver()
        async with Storage(checked(store)) as storage:
            await put(storage)
            await store.put_content(f"{NOTES}/a/b", note, PutOptions())
            assert await storage.get_content("/a/b") == DATA

    asyncio.run(main())


def test_paths_are_shorter_by_the_place_of_digests() -> None:
    driver = InMemoryDriver()
    most = driver.capabilities.max_path_bytes
    assert checked(driver).capabilities.max_path_bytes == most - len(NOTES)
