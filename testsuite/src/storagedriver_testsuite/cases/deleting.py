"""Delete: D01 to D13."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from storagedriver_core import (
    ConflictError,
    DeleteReport,
    InvalidPathError,
    PartialDeleteError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriver,
    StorageDriverError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Disturbed, names
from storagedriver_testsuite.cases.moving import assert_missing
from storagedriver_testsuite.proxy import Fault

# By alphabet; each one holds those before it.
ODD_NAMES = {
    "portable": ["-", "--", "_", "...", "a.b.c"],
    "unicode": ["*", "?", "[ab]", "a b", "%41", "%2F", "é", "日本", "'", '"', "\\", "#", "&", "~"],
    "any": ["\t", "a\nb", "\x7f"],
}


class OneByOne(Disturbed):
    """Deletes many as a driver does that has no request for it."""

    async def delete_many(self, paths: Sequence[str]) -> DeleteReport:
        """Use the contract's own loop, so that each delete is disturbed."""
        return await StorageDriver.delete_many(self, paths)


class DeleteCases(CaseGroup):
    """What a delete takes away, and what it does not."""

    @case("D01")
    async def test_deleted_object_is_gone_from_everywhere(self, kit: Kit) -> None:
        await kit.seed_many({"/a/x": b"x", "/a/y": b"y"})
        await kit.storage.delete("/a/x")
        await assert_missing(kit.storage, "/a/x")
        assert await names(kit.storage.list("/a")) == ["/a/y"]
        assert await kit.peek("/a/y") == b"y"
        await kit.storage.delete("/a/y")
        # Nobody made the directory, so it goes with its last file.
        await assert_missing(kit.storage, "/a")
        assert await kit.harness.raw_list() == []

    @case("D02")
    async def test_delete_of_what_is_missing_is_not_found_unless_allowed(self, kit: Kit) -> None:
        await kit.seed("/a/x", b"x")
        for path in ["/missing", "/a/missing", "/a/x/below", "/missing/x"]:
            with pytest.raises(PathNotFoundError) as missing:
                await kit.storage.delete(path)
            assert missing.value.path == path
            await kit.storage.delete(path, missing_ok=True)
        assert await names(kit.storage.walk("/")) == ["/a/x"]

    @case("D03")
    async def test_delete_of_a_directory_takes_the_tree(self, kit: Kit) -> None:
        tree = [f"/d/{first}/{second}/x" for first in "abc" for second in "ab"]
        tree += ["/d/x", "/d/a/x", "/d/e/" + "/".join("abcdefgh")]
        await kit.seed_many(dict.fromkeys(tree, b"x"))
        await kit.storage.delete("/d/a")
        left = [path for path in tree if not path.startswith("/d/a/")]
        assert sorted(await names(kit.storage.walk("/"))) == sorted(left)
        await kit.storage.delete("/d")
        assert await kit.harness.raw_list() == []
        await assert_missing(kit.storage, "/d")

    @case("D04")
    async def test_delete_takes_only_the_named_subtree(self, kit: Kit) -> None:
        stay = ["/a/bc", "/a/b-c", "/a/b.c/x", "/a/b0/x", "/a/a/b/x", "/ab/x", "/b/x"]
        await kit.seed_many(dict.fromkeys([*stay, "/a/b/x", "/a/b/b/x"], b"x"))
        await kit.storage.delete("/a/b")
        assert sorted(await names(kit.storage.walk("/"))) == sorted(stay)
        await kit.storage.delete("/a/bc")
        assert sorted(await names(kit.storage.walk("/"))) == sorted(stay[1:])

    @case("D05")
    async def test_directory_of_one_or_of_1200_files_is_deleted_whole(self, kit: Kit) -> None:
        await kit.seed("/stays", b"")
        for count in [1, 1200]:
            await kit.seed_many({f"/many/{number:04}": b"" for number in range(count)})
            await kit.storage.delete("/many")
            await assert_missing(kit.storage, "/many")
            assert await names(kit.storage.walk("/")) == ["/stays"]

    @case("D06")
    async def test_delete_of_many_tells_what_became_of_each(self, kit: Kit) -> None:
        files = [f"/a/{number:04}" for number in range(1100)]
        await kit.seed_many(dict.fromkeys([*files, "/a/stays"], b""))
        missing = ["/a/none", "/none/x"]
        report = await kit.storage.delete_many([missing[0], *files, missing[1]])
        assert report.failed == {}
        # Some stores answer for a missing object as for one that they deleted.
        assert set(report.missing) <= set(missing)
        assert sorted([*report.deleted, *report.missing]) == sorted([*files, *missing])
        assert await names(kit.storage.walk("/")) == ["/a/stays"]
        assert await kit.storage.delete_many([]) == DeleteReport()

    @case("D07")
    async def test_file_and_directory_of_one_name_go_together(self, kit: Kit) -> None:
        storage = kit.storage
        await storage.put_content("/a/b", b"file")
        if kit.capabilities.file_and_directory_share_name:
            await storage.put_content("/a/b/c", b"below")
            await storage.put_content("/a/bc", b"beside")
            await storage.delete("/a/b/c")
            assert await kit.peek("/a/b") == b"file"
            await storage.put_content("/a/b/c", b"below")
            await storage.delete("/a/b")
            assert await names(storage.walk("/")) == ["/a/bc"]
            return
        for path, data in [("/a/b/c", b"below"), ("/a", b"above")]:
            with pytest.raises(ConflictError):
                await storage.put_content(path, data)
            with pytest.raises(PathNotFoundError):
                await storage.delete("/a/b/c")
        assert await names(storage.walk("/")) == ["/a/b"]
        assert await kit.peek("/a/b") == b"file"

    @case("D08")
    async def test_odd_name_is_deleted_and_nothing_that_it_could_mean(self, kit: Kit) -> None:
        odd = []
        for alphabet, some in ODD_NAMES.items():
            odd += some
            if alphabet == kit.capabilities.path_alphabet:
                break
        plain = ["a", "b", "A", "41", "abc"]
        await kit.seed_many({f"/d/{name}": b"" for name in [*plain, *odd]})
        for name in odd:
            await kit.storage.delete(f"/d/{name}")
            left = await names(kit.storage.walk("/d"))
            assert f"/d/{name}" not in left
        assert sorted(left) == sorted(f"/d/{name}" for name in plain)

    @case("D09")
    async def test_directory_is_refused_unless_recursive(self, kit: Kit) -> None:
        storage = kit.storage
        await kit.seed_many({"/d/e/x": b"x", "/f": b"f"})
        for path in ["/d", "/d/e"]:
            with pytest.raises(ConflictError) as refused:
                await storage.delete(path, recursive=False)
            assert refused.value.path == path
        assert await kit.peek("/d/e/x") == b"x"
        await storage.delete("/d/e/x", recursive=False)
        with pytest.raises(PathNotFoundError):
            await storage.delete("/d", recursive=False)
        if kit.harness.offers("plant_directory"):
            await kit.harness.plant_directory("/d/empty")
            await storage.delete("/d", missing_ok=True)
        assert await names(storage.list("/")) == ["/f"]

    @case("D10")
    async def test_root_is_deleted_only_with_a_word_more(self, kit: Kit) -> None:
        storage = kit.storage
        files = ["/a/x", "/b/c/y", "/z"]
        await kit.seed_many(dict.fromkeys(files, b""))
        for missing_ok in [False, True]:
            with pytest.raises(InvalidPathError):
                await storage.delete("/", missing_ok=missing_ok)
        assert sorted(await names(storage.walk("/"))) == files
        await storage.delete("/", everything=True)
        assert await kit.harness.raw_list() == []
        await storage.delete("/", everything=True)
        assert (await storage.stat("/")).is_dir
        await storage.put_content("/a/x", b"usable as before")

    @case("D11")
    async def test_partial_delete_names_what_failed_and_a_repetition_finishes(
        self, kit: Kit
    ) -> None:
        files = [f"/d/{number}/x" for number in range(5)]
        stuck = ["/d/1/x", "/d/3/x"]
        refuse = set(stuck)

        async def disturb(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            if operation == "delete" and path in refuse:
                raise PermissionDeniedError
            return await call()

        await kit.seed_many(dict.fromkeys(files, b""))
        storage = await kit.open(kit.wrapped_driver(OneByOne(kit.harness.driver(), disturb)))
        report = await storage.delete_many(files)
        self._check_failures(report.failed, stuck)
        assert sorted([*report.deleted, *stuck]) == files
        assert sorted(await names(storage.walk("/"))) == stuck
        refuse.clear()
        assert sorted((await storage.delete_many(stuck)).deleted) == stuck
        assert await kit.harness.raw_list() == []

        if kit.harness.offers("undeletable"):
            await kit.seed_many(dict.fromkeys(files, b""))
            with kit.harness.undeletable(stuck[0]):
                with pytest.raises(PartialDeleteError) as partial:
                    await kit.storage.delete("/d")
                self._check_failures(partial.value.failures, stuck[:1])
                assert await names(kit.storage.walk("/")) == stuck[:1]
                report = await kit.storage.delete_many(stuck[:1])
                self._check_failures(report.failed, stuck[:1])
            await kit.storage.delete("/d")
            assert await kit.harness.raw_list() == []

        if kit.harness.offers("undeletable_answer"):
            await self._check_refusal_of_one(kit, files, stuck[0])

    async def _check_refusal_of_one(self, kit: Kit, files: list[str], stuck: str) -> None:
        await kit.seed_many(dict.fromkeys(files, b""))
        proxy, storage = await kit.proxied()
        answer = kit.harness.undeletable_answer(stuck)
        refusal = Fault(
            action="answer",
            target=answer.pattern,
            times=None,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
        )
        async with proxy.faults(refusal):
            report = await storage.delete_many([stuck])
            self._check_failures(report.failed, [stuck])
            with pytest.raises(PartialDeleteError) as partial:
                await storage.delete("/d")
            self._check_failures(partial.value.failures, [stuck])
        assert stuck in await kit.snapshot()
        await storage.delete("/d")
        assert await kit.harness.raw_list() == []

    @staticmethod
    def _check_failures(failed: Any, paths: list[str]) -> None:
        assert sorted(failed) == paths
        for path, error in failed.items():
            assert isinstance(error, PermissionDeniedError)
            assert error.path == path

    @case("D12", needs=("upload",))
    async def test_delete_under_an_open_reader_or_writer_is_settled(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        data = kit.random_bytes(3 * 1024 * 1024)
        await kit.seed("/a/x", data)
        async with await storage.reader("/a/x") as reader:
            head = await reader.read(10)
            await storage.delete("/a/x")
            await assert_missing(storage, "/a/x")
            try:
                rest = await reader.read()
            except StorageDriverError:
                # The object went; where reads are pinned, the reader must not notice.
                assert not kit.capabilities.pinned_reads
            else:
                assert head + rest == data

        await kit.seed("/a/x", b"old")
        async with await storage.writer("/a/x") as writer:
            await writer.write(data[: PART + 1])
            await storage.delete("/a/x")
            with pytest.raises(PathNotFoundError):
                await storage.delete("/a/x")
            await writer.commit()
        assert await kit.peek("/a/x") == data[: PART + 1]

    @case("D13", needs=("upload",))
    async def test_delete_of_a_tree_leaves_uploads_in_progress(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        # With a tail, which may lie in an object of its own.
        data = kit.random_bytes(PART + 100)
        paths = ["/tree/new/y", "/elsewhere/z"]
        await kit.seed_many({"/tree/x": b"old", "/tree/other": b""})
        if kit.capabilities.independent_uploads:
            paths.append("/tree/x")
        tokens = {}
        for path in paths:
            writer = await storage.writer(path)
            await writer.write(data)
            tokens[path] = await writer.suspend()
        await storage.delete("/tree")
        assert len(await kit.harness.raw_uploads()) == len(tokens)
        await storage.put_content("/last", b"")
        await storage.delete("/", everything=True)
        assert len(await kit.harness.raw_uploads()) == len(tokens)
        for path, token in tokens.items():
            async with await storage.resume(token) as writer:
                assert writer.offset == len(data)
                await writer.write(b"end")
                await writer.commit()
            assert await kit.peek(path) == data + b"end"
