"""One writer and its life: W01 to W25."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Literal

import pytest

from storagedriver_core import (
    ClosedError,
    ConflictError,
    FileWriter,
    InvalidOffsetError,
    PathNotFoundError,
    Storage,
    UploadNotFoundError,
    UploadToken,
    WriterState,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import MAX_PARTS, Kit
from storagedriver_testsuite._suite import CaseGroup

GIB = 1024**3
MIB = 1024**2


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut `data` into pieces of `size` bytes."""
    return (data[start : start + size] for start in range(0, len(data), size))


async def write_object(storage: Storage, path: str, data: bytes, piece: int) -> FileWriter:
    """Write and commit an object in pieces; give the writer."""
    async with await storage.writer(path) as writer:
        for chunk in pieces(data, piece):
            await writer.write(chunk)
        assert writer.offset == len(data)
        info = await writer.commit()
        assert (info.path, info.size) == (path, len(data))
    return writer


async def suspended(storage: Storage, path: str, data: bytes) -> UploadToken:
    """Begin an upload, write `data`, and suspend it."""
    writer = await storage.writer(path)
    await writer.write(data)
    return await writer.suspend()


async def assert_unpublished(storage: Storage, path: str) -> None:
    """Check that nothing can be seen at `path`."""
    for look in (storage.stat, storage.get_content, storage.reader):
        with pytest.raises(PathNotFoundError):
            await look(path)


async def ended(
    storage: Storage, path: str, end: Literal["aclose", "cancel", "commit", "suspend"]
) -> FileWriter:
    """Give a writer that wrote three bytes, and then came to its end."""
    writer = await storage.writer(path)
    await writer.write(b"abc")
    await getattr(writer, end)()
    return writer


async def refuse(call: Awaitable[object], operation: str) -> None:
    """Check that a writer that is over refuses the call, and names it."""
    with pytest.raises(ClosedError) as refused:
        await call
    assert refused.value.operation == operation
    assert refused.value.path == "/a/x"


async def endless(kit: Kit, sizes: Iterator[int], total: int) -> AsyncIterator[bytes]:
    """Give `total` bytes in chunks of the sizes given, cut from one random block."""
    block = kit.random_bytes(64 * MIB if kit.large else MIB)
    given = 0
    while given < total:
        size = min(next(sizes), len(block), total - given)
        # From another place each time, so that no chunk can stand for another.
        start = given * 31 % (len(block) - size + 1)
        yield block[start : start + size]
        given += size


async def sha256_of(storage: Storage, path: str) -> str:
    """Read a file of any size and give its digest."""
    running = hashlib.sha256()
    async with await storage.reader(path) as reader:
        async for chunk in reader:
            running.update(chunk)
    return running.hexdigest()


class WriterCases(CaseGroup):
    """One writer and its life."""

    @case("W01", needs=("upload",))
    async def test_streamed_content_is_read_back(self, kit: Kit) -> None:
        for size in (0, 1, 1024, MIB):
            data = kit.random_bytes(size)
            writer = await write_object(kit.storage, "/a/x", data, 100_000)
            assert writer.digests == {"sha256": hashlib.sha256(data).hexdigest()}
            async with await kit.storage.reader("/a/x") as reader:
                assert await reader.read() == data
            assert await kit.peek("/a/x") == data

    @case("W02", needs=("upload",))
    async def test_long_stream_keeps_its_digest(self, kit: Kit) -> None:
        total = 5 * GIB if kit.large else 8 * MIB + 1
        running = hashlib.sha256()
        async with await kit.storage.writer("/a/x") as writer:
            async for chunk in endless(kit, iter(lambda: 3_000_000, None), total):
                running.update(chunk)
                await writer.write(chunk)
            await writer.commit(size=total)
        assert writer.digests["sha256"] == running.hexdigest()
        assert (await kit.storage.stat("/a/x")).size == total
        assert await sha256_of(kit.storage, "/a/x") == running.hexdigest()

    @case("W03", needs=("upload",))
    async def test_sizes_around_the_part_size(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        part = storage.capabilities.min_part_size
        for size in (part - 1, part, part + 1, 2 * part, 2 * part + 1):
            for piece in (size, part // 3):
                data = kit.random_bytes(size)
                await write_object(storage, "/a/x", data, piece)
                assert await kit.peek("/a/x") == data

    @case("W04", needs=("upload",))
    async def test_suspended_upload_goes_on_with_large_chunks(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            part = storage.capabilities.min_part_size or MIB
            chunks = [kit.random_bytes(part * 5 // 2) for _ in range(3)]
            token = await suspended(storage, "/a/x", chunks[0])
            writer = await storage.resume(token)
            await writer.write(chunks[1])
            writer = await storage.resume(await writer.suspend())
            await writer.write(chunks[2])
            await writer.commit()
            assert (await storage.stat("/a/x")).size == sum(map(len, chunks))
            assert await storage.get_content("/a/x") == b"".join(chunks)

    @case("W05", needs=("upload",))
    async def test_suspended_upload_goes_on_with_pieces_below_the_least_part(
        self, kit: Kit
    ) -> None:
        storage = await kit.open_parts()
        data = kit.random_bytes(storage.capabilities.min_part_size * 3 // 2)
        first, *rest = pieces(data, len(data) // 7)
        token = await suspended(storage, "/a/x", first)
        for piece in rest:
            writer = await storage.resume(token)
            await writer.write(piece)
            token = await writer.suspend()
        await (await storage.resume(token)).commit()
        assert await kit.peek("/a/x") == data

    @case("W06", needs=("upload",))
    async def test_upload_is_suspended_before_its_first_byte(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            for data in (b"abc", b""):
                await kit.seed("/a/x", b"")  # what is there, although empty, is not continued
                token = await suspended(storage, "/a/x", b"")
                assert token.offset == 0
                writer = await storage.resume(token)
                await writer.write(data)
                await writer.commit()
                assert await kit.peek("/a/x") == data
                await storage.delete("/a/x")

    @case("W07", needs=("upload",))
    async def test_resumed_writer_stands_at_what_was_made_durable(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            part = storage.capabilities.min_part_size or 1000
            for size in (0, 1, part, 2 * part + 7):
                token = await suspended(storage, "/a/x", bytes(size))
                assert token.offset == size
                writer = await storage.resume(token)
                assert (writer.offset, writer.durable_offset) == (size, size)
                await writer.write(b"more")
                assert (writer.offset, writer.durable_offset) == (size + 4, size)
                await writer.cancel()

    @case("W08", needs=("upload",))
    async def test_writing_beyond_the_end_fills_nothing_with_zeros(self, kit: Kit) -> None:
        async with await kit.storage.writer("/a/x") as writer:
            await writer.write(b"abc")
            with pytest.raises(InvalidOffsetError) as refused:
                await writer.write(b"xyz", offset=10)
            assert refused.value.offset == 10
            assert refused.value.durable_offset == writer.durable_offset
            await writer.write(b"def", offset=3)
            await writer.commit()
        assert await kit.peek("/a/x") == b"abcdef"

    @case("W09", needs=("upload",))
    async def test_token_of_an_upload_that_is_not_there_is_not_found(self, kit: Kit) -> None:
        writer = await kit.storage.writer("/a/x")
        await writer.write(b"abc")
        token = writer.token()
        await writer.cancel()
        # Nor does a file at the path stand in for the upload.
        await kit.seed("/a/x", b"abc")
        with pytest.raises(UploadNotFoundError) as refused:
            await kit.storage.resume(token.to_json())
        assert refused.value.path == "/a/x"
        assert await kit.peek("/a/x") == b"abc"

    @case("W10", needs=("upload",))
    async def test_new_writer_leaves_nothing_of_the_object_before(self, kit: Kit) -> None:
        for old, new in ((b"long" * 1000, b"short"), (b"short", b"long" * 1000), (b"old", b"")):
            await kit.seed("/a/x", old)
            await write_object(kit.storage, "/a/x", new, 1000)
            assert await kit.peek("/a/x") == await kit.storage.get_content("/a/x") == new
            assert (await kit.storage.stat("/a/x")).size == len(new)

    @case("W11", needs=("upload",))
    async def test_uncommitted_content_cannot_be_read(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        writer = await storage.writer("/a/x")
        await assert_unpublished(storage, "/a/x")
        await writer.write(bytes(storage.capabilities.min_part_size * 2 + 1))
        await assert_unpublished(storage, "/a/x")
        token = await writer.suspend()
        await assert_unpublished(storage, "/a/x")
        writer = await storage.resume(token)
        await assert_unpublished(storage, "/a/x")
        await writer.commit()
        assert (await storage.stat("/a/x")).size == writer.offset

    @case("W12", needs=("upload",))
    async def test_cancelled_upload_is_gone(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        size = storage.capabilities.min_part_size * 3 // 2
        token = await suspended(storage, "/a/x", bytes(size))
        writer = await storage.resume(token)
        await writer.write(bytes(size))
        await writer.cancel()
        assert writer.state is WriterState.CANCELLED
        await assert_unpublished(storage, "/a/x")
        with pytest.raises(UploadNotFoundError):
            await storage.resume(token)
        assert not await kit.harness.raw_uploads()
        if storage.capabilities.abort_frees:
            assert not await kit.harness.raw_list()

    @case("W13", needs=("upload",))
    async def test_cancel_keeps_the_object_that_was_there(self, kit: Kit) -> None:
        await kit.seed("/a/x", b"old")
        writer = await kit.storage.writer("/a/x")
        await writer.write(b"new content")
        await writer.cancel()
        assert await kit.peek("/a/x") == await kit.storage.get_content("/a/x") == b"old"

    @case("W14", needs=("upload",))
    async def test_aclose_may_be_called_again_and_changes_nothing(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "aclose")
        await writer.aclose()
        assert writer.state is WriterState.CLOSED
        await assert_unpublished(kit.storage, "/a/x")
        writer = await ended(kit.storage, "/a/x", "commit")
        await writer.aclose()
        assert writer.state is WriterState.COMMITTED
        assert await kit.peek("/a/x") == b"abc"
        writer = await ended(kit.storage, "/a/y", "suspend")
        await writer.aclose()
        await (await kit.storage.resume(writer.token())).cancel()

    @case("W15", needs=("upload",))
    async def test_second_commit_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "commit")
        await kit.seed("/a/x", b"newer")
        await refuse(writer.commit(), "commit")
        assert await kit.peek("/a/x") == b"newer"

    @case("W16", needs=("upload",))
    async def test_write_after_aclose_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "aclose")
        await refuse(writer.write(b"def"), "write")
        await assert_unpublished(kit.storage, "/a/x")

    @case("W17", needs=("upload",))
    async def test_write_after_commit_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "commit")
        await refuse(writer.write(b"def"), "write")
        assert await kit.peek("/a/x") == b"abc"

    @case("W18", needs=("upload",))
    async def test_write_after_cancel_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "cancel")
        await refuse(writer.write(b"def"), "write")
        await assert_unpublished(kit.storage, "/a/x")

    @case("W19", needs=("upload",))
    async def test_commit_after_aclose_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "aclose")
        await refuse(writer.commit(), "commit")
        await assert_unpublished(kit.storage, "/a/x")

    @case("W20", needs=("upload",))
    async def test_commit_after_cancel_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "cancel")
        await refuse(writer.commit(), "commit")
        await assert_unpublished(kit.storage, "/a/x")

    @case("W21", needs=("upload",))
    async def test_cancel_after_aclose_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "aclose")
        await refuse(writer.cancel(), "cancel")

    @case("W22", needs=("upload",))
    async def test_cancel_after_commit_is_refused(self, kit: Kit) -> None:
        writer = await ended(kit.storage, "/a/x", "commit")
        await refuse(writer.cancel(), "cancel")
        assert await kit.peek("/a/x") == b"abc"

    @case("W23", needs=("upload",))
    async def test_commit_without_a_write_gives_an_empty_object(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            async with await storage.writer("/a/x") as writer:
                info = await writer.commit()
            assert info.size == (await storage.stat("/a/x")).size == 0
            assert await kit.peek("/a/x") == b""
            assert writer.digests == {"sha256": hashlib.sha256().hexdigest()}
            await storage.delete("/a/x")

    @case("W24", needs=("upload",))
    async def test_large_and_tiny_chunks_in_turn_reach_the_greatest_size(self, kit: Kit) -> None:
        storage = kit.storage if kit.large else await kit.open_parts(max_parts=MAX_PARTS)
        total = 10 * GIB if kit.large else MAX_PARTS * storage.capabilities.min_part_size
        large = total // 160 + 1

        def sizes() -> Iterator[int]:
            while True:
                yield from (large, 1, large - 1, 2)

        running = hashlib.sha256()
        async with await storage.writer("/a/x") as writer:
            async for chunk in endless(kit, sizes(), total):
                running.update(chunk)
                await writer.write(chunk)
            await writer.commit(size=total, digest=f"sha256:{running.hexdigest()}")
        assert await sha256_of(storage, "/a/x") == running.hexdigest()

    @case("W25", needs=("upload",))
    async def test_two_writers_on_one_path_never_mix(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        part = storage.capabilities.min_part_size
        ours, theirs = kit.random_bytes(part * 2 + 10), kit.random_bytes(part * 2 + 20)
        async with await storage.writer("/a/x") as first, await storage.writer("/a/x") as second:
            steps = [(first, piece) for piece in pieces(ours, part)]
            steps += [(second, piece) for piece in pieces(theirs, part)]
            # Now one of them is ahead, now the other.
            for step in (0, 3, 4, 1, 2, 5):
                writer, piece = steps[step]
                await writer.write(piece)
            await second.commit()
            assert await kit.peek("/a/x") == theirs
            if storage.capabilities.independent_uploads:
                await first.commit()
                assert await kit.peek("/a/x") == ours
            else:
                with pytest.raises(ConflictError):
                    await first.commit()
                assert await kit.peek("/a/x") == theirs
