"""List and walk: what they give. L01 to L28, but for those in `paging`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from storagedriver_core import (
    FileInfo,
    PathNotFoundError,
    PermissionDeniedError,
    Storage,
    parent,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Disturbed, Recorder, names

TREE = ["/a/b/c/w", "/a/b/z", "/a/x", "/a/y", "/ab", "/b/x"]


async def replace_one_by_another(
    storage: Storage, say: Callable[[Any], None], old: str, new: str
) -> None:
    """In a child process: store one file, delete another."""
    await storage.put_content(new, b"new")
    await storage.delete(old)
    say("done")


class ListingCases(CaseGroup):
    """Directories and what is below them."""

    @case("L01")
    async def test_list_gives_direct_children_and_no_others(self, kit: Kit) -> None:
        await kit.seed_many(dict.fromkeys(TREE, b"x"))
        assert sorted(await names(kit.storage.list("/"))) == ["/a/", "/ab", "/b/"]
        assert sorted(await names(kit.storage.list("/a"))) == ["/a/b/", "/a/x", "/a/y"]
        assert sorted(await names(kit.storage.list("/a/b"))) == ["/a/b/c/", "/a/b/z"]

    @case("L02")
    async def test_listed_paths_have_single_slashes(self, kit: Kit) -> None:
        await kit.seed_many(dict.fromkeys(TREE, b"x"))
        for directory in ["/", "/a", "/a/b", "/a/b/c"]:
            entries = [info async for info in kit.storage.list(directory)]
            assert entries and {parent(info.path) for info in entries} == {directory}
            entries += [info async for info in kit.storage.walk(directory)]
            for info in entries:
                assert info.path.startswith("/") and not info.path.endswith("/")
                assert "//" not in info.path

    @case("L03")
    async def test_list_of_what_is_no_directory_is_not_found(self, kit: Kit) -> None:
        await kit.seed("/a/x", b"")
        for path in ["/missing", "/a/missing", "/a/x", "/missing/deeper"]:
            with pytest.raises(PathNotFoundError) as missing:
                await names(kit.storage.list(path))
            assert missing.value.path == path

    @case("L04")
    async def test_root_is_listed_when_empty_and_an_emptied_directory_is_gone(
        self, kit: Kit
    ) -> None:
        assert await names(kit.storage.list("/")) == await names(kit.storage.walk("/")) == []
        await kit.seed("/a/b/x", b"")
        await kit.storage.delete("/a/b/x")
        assert await names(kit.storage.list("/")) == await names(kit.storage.walk("/")) == []
        for path in ["/a/b", "/a"]:
            with pytest.raises(PathNotFoundError):
                await names(kit.storage.list(path))

    @case("L08")
    async def test_prefix_of_a_name_is_no_directory(self, kit: Kit) -> None:
        await kit.seed_many(dict.fromkeys(["/a/bc", "/a/b-c/x", "/a/b.c/y", "/ab/x"], b""))
        for path in ["/a/b", "/a/b-", "/a/bc"]:
            for listing in [kit.storage.list, kit.storage.walk]:
                with pytest.raises(PathNotFoundError):
                    await names(listing(path))
        assert await names(kit.storage.walk("/ab")) == ["/ab/x"]

    @case("L09")
    async def test_walk_gives_every_file_at_any_depth_and_no_directory(self, kit: Kit) -> None:
        deep = "/a/" + "/".join("bcdefghijklm") + "/deep"
        await kit.seed_many(dict.fromkeys([*TREE, deep], b"x"))
        assert sorted(await names(kit.storage.walk("/a"))) == [
            "/a/b/c/" + "/".join("defghijklm") + "/deep",
            "/a/b/c/w",
            "/a/b/z",
            "/a/x",
            "/a/y",
        ]

    @case("L13", needs=("list_after_write",))
    async def test_each_listing_shows_the_last_write_or_delete(self, kit: Kit) -> None:
        storage = kit.storage
        await storage.put_content("/a/stays", b"")
        for number in range(40):
            path = f"/a/{number}"
            await storage.put_content(path, b"")
            assert sorted(await names(storage.list("/a"))) == [path, "/a/stays"]
            await storage.delete(path)
            assert await names(storage.list("/a")) == ["/a/stays"]
        assert await names(storage.walk("/")) == ["/a/stays"]

    @case("L14")
    async def test_walk_visits_each_file_once(self, kit: Kit) -> None:
        files = [f"/{top}/{below}/{name}" for top in "ab" for below in "cd" for name in "efgh"]
        files += ["/f", "/a/f", "/b/c.f"]
        await kit.seed_many(dict.fromkeys(files, b"x"))
        for page_size in [1, 3, 1000]:
            walked = await names(kit.storage.walk("/", page_size=page_size))
            assert sorted(walked) == sorted(files)
        below = await names(kit.storage.walk("/a", page_size=3))
        assert sorted(below) == sorted(path for path in files if path.startswith("/a/"))

    @case("L16")
    async def test_walk_of_what_is_missing_and_walk_that_fails_raise(self, kit: Kit) -> None:
        files = [f"/a/{number}" for number in range(9)]
        await kit.seed_many(dict.fromkeys(files, b""))
        for path in ["/missing", "/a/1", "/a/1/deeper"]:
            with pytest.raises(PathNotFoundError) as missing:
                await names(kit.storage.walk(path))
            assert missing.value.path == path
        steps = 0

        async def fail_on_third(operation: str, path: str, call: Callable[[], Any]) -> Any:
            nonlocal steps
            if operation in ("list", "walk"):
                steps += 1
                if steps == 3:
                    raise PermissionDeniedError
            return await call()

        broken = await kit.open(kit.wrapped_driver(Disturbed(kit.harness.driver(), fail_on_third)))
        seen: list[str] = []
        with pytest.raises(PermissionDeniedError) as failed:
            async for info in broken.walk("/a", page_size=2):
                seen.append(info.path)
        assert failed.value.operation == "walk"
        assert 0 < len(seen) < len(files)

    @case("L17")
    async def test_lists_from_the_root_down_reach_every_file(self, kit: Kit) -> None:
        await kit.seed_many(dict.fromkeys(TREE, b"x"))
        directories = ["/"]
        files: list[str] = []
        while directories:
            async for info in kit.storage.list(directories.pop()):
                (directories if info.is_dir else files).append(info.path)
        assert sorted(files) == TREE
        for path in files:
            assert await kit.storage.get_content(path) == b"x"

    @case("L18")
    async def test_directory_is_no_child_of_itself(self, kit: Kit) -> None:
        if kit.harness.offers("plant_directory"):
            await kit.harness.plant_directory("/a/b")
        await kit.seed_many(dict.fromkeys(["/a/b/x", "/a/c"], b""))
        assert sorted(await names(kit.storage.list("/"))) == ["/a/"]
        assert sorted(await names(kit.storage.list("/a"))) == ["/a/b/", "/a/c"]
        assert await names(kit.storage.list("/a/b")) == ["/a/b/x"]
        assert sorted(await names(kit.storage.walk("/"))) == ["/a/b/x", "/a/c"]

    @case("L20")
    async def test_entries_carry_size_and_time_without_a_stat(self, kit: Kit) -> None:
        await kit.seed_many({"/a/five": b"12345", "/a/none": b"", "/a/b/one": b"1"})
        recorder = Recorder(kit.harness.driver())
        storage = await kit.open(kit.wrapped_driver(recorder))
        found = {info.path: info async for info in storage.list("/a")}
        found |= {info.path: info async for info in storage.walk("/a/b")}
        assert set(recorder.calls) <= {"list", "walk"}
        assert found.pop("/a/b") == FileInfo("/a/b", is_dir=True)
        sizes = {path: info.size for path, info in found.items()}
        assert sizes == {"/a/five": 5, "/a/none": 0, "/a/b/one": 1}
        for path, info in found.items():
            known = await storage.stat(path)
            assert info.mod_time is not None and known.mod_time is not None
            assert info.mod_time.utcoffset() == timedelta(0)
            # The times of some stores' listings have fractions of a second, those of stat not.
            assert abs(info.mod_time - known.mod_time) < timedelta(seconds=1)
            assert info.etag in (None, known.etag)

    @case("L25", needs=("shared_between_processes", "list_after_write"))
    async def test_another_process_shows_at_once(self, kit: Kit) -> None:
        await kit.seed("/a/b/old", b"old")
        assert await names(kit.storage.list("/a/b")) == ["/a/b/old"]
        assert await names(kit.storage.walk("/")) == ["/a/b/old"]
        async with kit.child(replace_one_by_another, "/a/b/old", "/a/b/new") as child:
            assert await child.said() == "done"
            assert await names(kit.storage.list("/a/b")) == ["/a/b/new"]
            assert await names(kit.storage.walk("/")) == ["/a/b/new"]

    @case("L26", needs=("upload",))
    async def test_what_drivers_keep_for_themselves_is_never_listed(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        await storage.put_content("/a/seen", b"")

        async def check() -> None:
            assert sorted(await names(storage.list("/"))) == ["/a/"]
            assert await names(storage.list("/a")) == ["/a/seen"]
            assert await names(storage.walk("/")) == ["/a/seen"]
            with pytest.raises(PathNotFoundError):
                await names(storage.list("/b"))

        for path in ["/a/new", "/b/new"]:
            writer = await storage.writer(path)
            await check()
            await writer.write(kit.random_bytes(PART + 100))
            await check()
            token = await writer.suspend()
            await check()
            writer = await storage.resume(token)
            await writer.write(b"x")
            await check()
            await writer.cancel()
            await check()
        # While a put is under way, too.
        listed: list[str] = []
        put = asyncio.create_task(storage.put_content("/a/seen", kit.random_bytes(1 << 20)))
        while not put.done():
            listed += await names(storage.list("/"))
            listed += await names(storage.walk("/"))
            await asyncio.sleep(0)
        await put
        assert set(listed) <= {"/a/", "/a/seen"}
