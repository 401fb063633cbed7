"""Uploads in processes that die or meet: W34, W35, W41."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import pytest

from storagedriver_core import (
    ConflictError,
    PathNotFoundError,
    Storage,
    StorageDriverError,
    UploadNotFoundError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._crashing import Say, StuckAfter, StuckInPart, doomed
from storagedriver_testsuite.cases.resume import let_parts_arrive, sha256
from storagedriver_testsuite.cases.writers import assert_unpublished, pieces, suspended

PART_TO_DIE_IN = 40_000


async def write_until_killed(
    storage: Storage, say: Say, path: str, safe: bytes, lost: bytes
) -> None:
    """Say the token of `safe`, and die in the part that `lost` makes."""
    writer = await storage.writer(path)
    await writer.write(safe)
    token = await writer.suspend()
    say(token.to_json())
    writer = await storage.resume(token)
    await writer.write(lost)
    await writer.suspend()


async def commit_until_killed(
    storage: Storage, say: Say, paths: list[str], first: bytes, rest: bytes
) -> None:
    """Say the tokens of `first`, then commit uploads of `first` and `rest`, and die at the end."""
    tokens = [await suspended(storage, path, first) for path in paths]
    say([token.to_json() for token in tokens])
    writers = [await storage.resume(token) for token in tokens]
    for writer in writers:
        await writer.write(rest)
    await asyncio.gather(*(writer.commit() for writer in writers))


async def resume_and_race(storage: Storage, say: Say, token: str, rest: bytes) -> None:
    """In a child process: resume and write; commit when the case says so."""
    writer = await storage.resume(token)
    await writer.write(rest)
    say("written")
    while True:
        try:
            await storage.stat("/commit-now")
            break
        except PathNotFoundError:
            await asyncio.sleep(0.005)
    say(await outcome(writer.commit()))
    await writer.aclose()


async def outcome(call: Awaitable[object]) -> str:
    """Give the name of the error that a call raises, or an empty string."""
    try:
        await call
    except StorageDriverError as error:
        return type(error).__name__
    return ""


class ProcessCases(CaseGroup):
    """Uploads in processes that die or meet."""

    @case("W34", needs=("upload",))
    async def test_upload_goes_on_after_a_kill_in_the_middle_of_a_part(self, kit: Kit) -> None:
        part = max(PART_TO_DIE_IN, kit.capabilities.min_part_size)
        data = kit.random_bytes(max(600_000, 2 * part))
        for narrowed in (False, True):
            # What is under the least part never gets as far as the driver.
            if part > PART_TO_DIE_IN and not narrowed:
                continue
            driver = kit.wrapped_driver(StuckInPart(kit.harness.driver(), part))
            doomed_storage = kit.unopened(driver)
            storage = kit.storage
            safe = 300_000
            if narrowed:
                # The part that it dies in: the tail of the token and the bytes after it.
                storage = await kit.open(narrow={"min_part_size": part}, part_size=part)
                doomed_storage = kit.unopened(
                    driver, narrow={"min_part_size": part}, part_size=part
                )
                safe = part // 2
            lost = b"lost" * (part // 4)
            async with doomed(
                kit, write_until_killed, "/a/x", data[:safe], lost, storage=doomed_storage
            ) as process:
                token = await process.said()
                assert await process.said() == "stuck"
                await process.kill()
                await assert_unpublished(storage, "/a/x")
                writer = await storage.resume(token)
                assert writer.offset == writer.durable_offset == safe
                for piece in pieces(data[safe:], 70_000):
                    await writer.write(piece)
                await writer.commit(size=len(data), digest=sha256(data))
            assert await kit.peek("/a/x") == data
            await storage.delete("/a/x")

    @case("W35", needs=("upload",))
    async def test_commit_is_found_again_after_a_kill_before_its_reply(self, kit: Kit) -> None:
        paths = ["/a/kept", "/a/replaced", "/a/moved"]
        # A whole part, where there are any: the sidecar of a tail would stay where no upload can
        # be listed, and so none purged.
        first = kit.random_bytes(max(1000, kit.capabilities.min_part_size))
        rest = kit.random_bytes(2000)
        driver = kit.wrapped_driver(StuckAfter(kit.harness.driver(), "complete_upload"))
        async with doomed(
            kit, commit_until_killed, paths, first, rest, storage=kit.unopened(driver)
        ) as process:
            kept, *gone = await process.said()
            for _ in paths:
                assert await process.said() == "stuck"
            await process.kill()
            writer = await kit.storage.resume(kept)
            assert writer.offset == len(first + rest)
            info = await writer.commit(size=len(first + rest), digest=sha256(first + rest))
            assert (info.path, info.size) == ("/a/kept", len(first + rest))
            assert await kit.peek("/a/kept") == first + rest

            await kit.storage.put_content("/a/replaced", b"newer")
            await kit.storage.move("/a/moved", "/a/elsewhere")
            for token in gone:
                with pytest.raises(UploadNotFoundError) as refused:
                    await (await kit.storage.resume(token)).commit()
                assert refused.value.outcome == "unknown"
            assert await kit.peek("/a/replaced") == b"newer"
            assert await kit.peek("/a/elsewhere") == first + rest
            await assert_unpublished(kit.storage, "/a/moved")

    @case("W41", needs=("upload",))
    async def test_of_two_that_resume_one_token_at_most_one_commits(self, kit: Kit) -> None:
        least = max(PART, kit.capabilities.min_part_size)
        in_parts = await kit.open(narrow={"min_part_size": least}, part_size=least)
        start = kit.random_bytes(least)
        for storage in (kit.storage, in_parts):
            # With a rest that is stored before the commit, and one that has something more to send.
            for size in (16 * least, 20 * least + 1):
                rests = [kit.random_bytes(size), kit.random_bytes(size)]
                for first_commits in (True, False):
                    token = (await suspended(storage, "/a/x", start)).to_json()
                    first = await storage.resume(token)
                    await first.write(rests[0])
                    await let_parts_arrive()
                    second = await storage.resume(token)
                    await second.write(rests[1])
                    order = [first, second] if first_commits else [second, first]
                    errors = [await outcome(writer.commit()) for writer in order]
                    for writer in order:
                        await writer.aclose()
                    await self._check_one_winner(kit, errors, {start + rest for rest in rests})
            await self._check_branches(kit, storage, start)
        if kit.capabilities.shared_between_processes:
            await self._race_with_another_process(kit, start, rests)

    async def _check_branches(self, kit: Kit, storage: Storage, start: bytes) -> None:
        """Two tokens that went on from one promise other bytes at the same place."""
        ours, theirs = kit.random_bytes(len(start)), kit.random_bytes(len(start))
        root = await suspended(storage, "/a/branches", start)
        tokens = []
        for rest in (ours, theirs):
            async with await storage.resume(root) as writer:
                await writer.write(rest)
                tokens.append(await writer.suspend())
        try:
            async with await storage.resume(tokens[0]) as writer:
                await writer.commit(digest=sha256(start + ours))
        except (ConflictError, UploadNotFoundError):
            async with await storage.resume(tokens[1]) as writer:
                await writer.cancel()
        else:
            assert await kit.peek("/a/branches") == start + ours

    async def _race_with_another_process(self, kit: Kit, start: bytes, rests: list[bytes]) -> None:
        token = (await suspended(kit.storage, "/a/x", start)).to_json()
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(kit.child(resume_and_race, token, rests[0]))
            assert await process.said() == "written"
            ours = ""
            try:
                writer = await stack.enter_async_context(await kit.storage.resume(token))
                await writer.write(rests[1])
            except ConflictError as error:
                ours = type(error).__name__
            await kit.storage.put_content("/commit-now", b"")
            theirs = await process.said()
            ours = ours or await outcome(writer.commit())
            assert await process.wait() == 0
        await self._check_one_winner(kit, [theirs, ours], {start + rest for rest in rests})

    @staticmethod
    async def _check_one_winner(kit: Kit, errors: list[str], possible: set[bytes]) -> None:
        assert errors.count("") == 1, errors
        # A store that only knows that the upload is gone cannot tell who has committed it.
        assert set(errors) <= {"", "ConflictError", "UploadNotFoundError"}
        assert await kit.peek("/a/x") in possible
        await kit.storage.delete("/a/x")
