"""What can be seen of an upload, and when: W31, W44 to W47, W50, W52."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from datetime import timedelta

import pytest

from storagedriver_core import (
    AlreadyExistsError,
    ChecksumMismatchError,
    FileInfo,
    FileWriter,
    Storage,
    UploadNotFoundError,
    UploadToken,
    WriterState,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import names
from storagedriver_testsuite.cases.resume import sha256
from storagedriver_testsuite.cases.writers import assert_unpublished, suspended


class UpsetError(Exception):
    """What goes wrong in the body of a `with` block."""


async def lose_a_writer(storage: Storage, data: bytes, *, with_token: bool) -> UploadToken | None:
    """Write and forget the writer; give the token if one was asked for."""
    writer = await storage.writer("/a/x")
    await writer.write(data)
    return writer.token() if with_token else None


class PublishingCases(CaseGroup):
    """What can be seen of an upload, and when."""

    @case("W31", needs=("upload",))
    async def test_upload_shows_in_no_listing_and_no_sum(self, kit: Kit) -> None:
        await kit.seed_many({"/a/y": b"12345", "/b/z": b"678"})
        for storage in (kit.storage, await kit.open_parts()):

            async def look(storage: Storage = storage) -> None:
                assert sorted(await names(storage.list("/"))) == ["/a/", "/b/"]
                assert await names(storage.list("/a")) == ["/a/y"]
                found = [info async for info in storage.walk("/")]
                assert sorted(info.path for info in found) == ["/a/y", "/b/z"]
                assert sum(info.size for info in found) == 8

            for path in ("/a/x", "/new/x"):
                writer = await storage.writer(path)
                await look()
                await writer.write(bytes(PART * 5 // 2))
                await look()
                token = await writer.suspend()
                await look()
                writer = await storage.resume(token)
                await look()
                await writer.cancel()
                await look()

    @case("W44", needs=("upload",))
    async def test_exception_in_the_block_commits_nothing(self, kit: Kit) -> None:
        await kit.seed("/a/x", b"old")
        for storage in (kit.storage, await kit.open_parts()):
            for error in (UpsetError, asyncio.CancelledError):
                with pytest.raises(error):
                    async with await storage.writer("/a/x") as writer:
                        await writer.write(bytes(PART * 5 // 2))
                        raise error
                assert writer.state is WriterState.CLOSED
                assert await kit.peek("/a/x") == b"old"
                assert not await kit.harness.raw_uploads()
            # Leaving without an exception commits as little.
            async with await storage.writer("/a/x") as writer:
                await writer.write(b"new")
            assert await kit.peek("/a/x") == b"old"
            # With a token out, the upload stays for whoever has it.
            with pytest.raises(UpsetError):
                async with await storage.writer("/a/x") as writer:
                    await writer.write(b"new")
                    token = writer.token()
                    raise UpsetError
            assert await kit.peek("/a/x") == b"old"
            await (await storage.resume(token)).cancel()

    @case("W45", needs=("upload",))
    async def test_lost_writer_commits_nothing_and_warns(self, kit: Kit) -> None:
        await kit.seed("/a/x", b"old")
        for storage in (kit.storage, await kit.open_parts()):
            with pytest.warns(ResourceWarning, match="/a/x"):
                token = await lose_a_writer(storage, bytes(PART * 5 // 2), with_token=True)
                gc.collect()
            assert await kit.peek("/a/x") == b"old"
            assert token is not None
            # It holds nothing any more, so that the token can be used in this process, too.
            await (await storage.resume(token)).cancel()
            if storage.capabilities.list_uploads:
                with pytest.warns(ResourceWarning, match="/a/x"):
                    await lose_a_writer(storage, b"new", with_token=False)
                    gc.collect()
                assert await kit.peek("/a/x") == b"old"
                [purged] = await storage.purge_uploads(older_than=timedelta(0))
                assert purged.upload.path == "/a/x"

    @case("W46", needs=("upload",))
    async def test_commit_of_another_size_or_digest_publishes_nothing(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            await kit.seed("/a/x", b"old")
            data = kit.random_bytes(PART * 5 // 2)
            async with await storage.writer("/a/x", hashes=("sha256", "sha512")) as writer:
                await writer.write(data)
                sha512 = hashlib.sha512(data).hexdigest()
                for size, digest in (
                    (len(data) - 1, None),
                    (len(data) + 1, sha256(data)),
                    (None, sha256(data[1:])),
                    (len(data), f"sha512:{sha512[1:]}0"),
                ):
                    with pytest.raises(ChecksumMismatchError):
                        await writer.commit(size=size, digest=digest)
                    assert await kit.peek("/a/x") == b"old"
                # It can still go on, or be committed as it is.
                await writer.write(b"more")
                await writer.commit(size=len(data) + 4, digest=sha256(data + b"more"))
            assert await kit.peek("/a/x") == data + b"more"

    @case("W47", needs=("upload", "put_if_absent"))
    async def test_of_two_create_only_commits_exactly_one_wins(self, kit: Kit) -> None:
        other = await kit.open()
        for attempt in range(5):
            path = f"/a/{attempt}"
            writers: list[FileWriter] = []
            for storage, content in ((kit.storage, b"ours" * 1000), (other, b"theirs" * 1000)):
                writers.append(await storage.writer(path))
                await writers[-1].write(content)
            results = await asyncio.gather(
                *(writer.commit(if_absent=True) for writer in writers), return_exceptions=True
            )
            won = [result for result in results if isinstance(result, FileInfo)]
            lost = [result for result in results if isinstance(result, AlreadyExistsError)]
            assert (len(won), len(lost)) == (1, 1), results
            content = await kit.peek(path)
            assert content == (b"ours", b"theirs")[results.index(won[0])] * 1000
            for writer in writers:
                await writer.aclose()
        async with await kit.storage.writer("/a/0") as writer:
            await writer.write(b"late")
            with pytest.raises(AlreadyExistsError):
                await writer.commit(if_absent=True)
            # The upload is still there, and the condition may be dropped.
            await writer.commit()
        assert await kit.peek("/a/0") == b"late"

    @case("W50", needs=("upload",))
    async def test_commit_leaves_nothing_but_the_object(self, kit: Kit) -> None:
        for storage in (kit.storage, await kit.open_parts()):
            data = kit.random_bytes(PART * 7 // 2)
            token = await suspended(storage, "/x", data[:1])
            for end in (PART // 2, PART * 3 // 2, PART * 3 // 2 + 1, len(data)):
                writer = await storage.resume(token)
                await writer.write(data[token.offset : end])
                token = await writer.suspend()
            await (await storage.resume(token)).commit()
            assert await kit.peek("/x") == data
            assert not await kit.harness.raw_uploads()
            assert len(await kit.harness.raw_list()) == 1
            # So does a cancellation, but for the object that was there.
            token = await suspended(storage, "/x", data[: PART * 3 // 2])
            await (await storage.resume(token)).cancel()
            if storage.capabilities.abort_frees:
                assert len(await kit.harness.raw_list()) == 1
            with pytest.raises(UploadNotFoundError):
                await storage.resume(token)
            await storage.delete("/x")
            await assert_unpublished(storage, "/x")

    @case("W52", needs=("upload",))
    async def test_old_object_stays_while_a_writer_is_open(self, kit: Kit) -> None:
        old = kit.random_bytes(1000)
        for storage in (kit.storage, await kit.open_parts()):
            await kit.seed("/a/x", old)
            before = await storage.stat("/a/x")

            async def look(storage: Storage = storage, before: FileInfo = before) -> None:
                assert await storage.stat("/a/x") == before
                assert await storage.get_content("/a/x") == old
                assert [info.size async for info in storage.list("/a")] == [len(old)]

            writer = await storage.writer("/a/x")
            await look()
            await writer.write(bytes(PART * 5 // 2))
            await look()
            token = await writer.suspend()
            await look()
            writer = await storage.resume(token)
            await look()
            async with await storage.reader("/a/x", offset=500) as reader:
                await writer.write(b"end")
                assert await reader.read() == old[500:]
            await writer.commit()
            assert await kit.peek("/a/x") == bytes(PART * 5 // 2) + b"end"
