"""Names and paths: N13 to N17, what two paths have to do with each other."""

from __future__ import annotations

import pytest

from storagedriver_core import ConflictError, PathNotFoundError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup


class NeighbourCases(CaseGroup):
    """Directories, and the names beside them."""

    @case("N13")
    async def test_root_exists_in_an_empty_store(self, kit: Kit) -> None:
        root = await kit.storage.stat("/")
        assert (root.path, root.is_dir, root.size) == ("/", True, 0)
        assert [info async for info in kit.storage.list("/")] == []
        assert [info async for info in kit.storage.walk("/")] == []
        with pytest.raises(PathNotFoundError):
            await kit.storage.get_content("/a")

    @case("N14")
    async def test_delete_leaves_what_begins_with_the_same_letters(self, kit: Kit) -> None:
        gone = ["/a/b/x", "/a/b/y/z", "/f"]
        left = ["/a/bc/x", "/a/b-c", "/a/b.c/x", "/a/bb", "/fg", "/f.d/x", "/g"]
        await kit.seed_many({path: path.encode() for path in gone + left})
        await kit.storage.delete("/a/b")
        await kit.storage.delete("/f")
        for path in left:
            assert await kit.peek(path) == path.encode()
        assert sorted([info.path async for info in kit.storage.walk("/")]) == sorted(left)

    @case("N15")
    async def test_listings_show_no_neighbour(self, kit: Kit) -> None:
        storage = kit.storage
        neighbours = ["/a/bc/y", "/a/b-e/z", "/a/b.d", "/a/b0", "/a/a/b/x", "/b/x"]
        await kit.seed_many(dict.fromkeys(["/a/b/x", "/a/b/y/z", *neighbours], b""))
        found = {info.path async for info in storage.list("/a/b")}
        assert found == {"/a/b/x", "/a/b/y"}
        assert {info.path async for info in storage.walk("/a/b")} == {"/a/b/x", "/a/b/y/z"}
        assert [info.path async for info in storage.list("/a/bc")] == ["/a/bc/y"]
        assert [info.path async for info in storage.walk("/a/b-e")] == ["/a/b-e/z"]

    @case("N16")
    async def test_names_that_sort_before_the_slash_are_listed_at_any_page_size(
        self, kit: Kit
    ) -> None:
        storage = kit.storage
        before = "-." if storage.capabilities.path_alphabet == "portable" else "!-.,"
        files = {"/d/x", "/d/y/z", "/d0", "/dd"}
        for character in before:
            files |= {f"/d{character}", f"/d{character}x", f"/d/{character}y", f"/e{character}/x"}
        await kit.seed_many(dict.fromkeys(files, b""))
        # A directory stands where its name with a slash would.
        entries = {path if path.count("/") == 1 else f"/{path.split('/')[1]}/" for path in files}
        for page_size in range(1, 11):
            listed = [
                f"{info.path}/" if info.is_dir else info.path
                async for info in storage.list("/", page_size=page_size)
            ]
            walked = [info.path async for info in storage.walk("/", page_size=page_size)]
            if not storage.capabilities.ordered_walk:
                listed.sort()
                walked.sort()
            assert listed == sorted(entries)
            assert walked == sorted(files)

    @case("N17")
    async def test_file_and_directory_share_a_name_as_declared(self, kit: Kit) -> None:
        storage = kit.storage
        if not storage.capabilities.file_and_directory_share_name:
            await storage.put_content("/a", b"file")
            with pytest.raises(ConflictError):
                await storage.put_content("/a/b", b"below")
            await storage.put_content("/d/b", b"below")
            with pytest.raises(ConflictError):
                await storage.put_content("/d", b"file")
            assert sorted([info.path async for info in storage.walk("/")]) == ["/a", "/d/b"]
            assert await kit.peek("/a") == b"file"
            assert await kit.peek("/d/b") == b"below"
            return
        await storage.put_content("/a", b"file")
        await storage.put_content("/a/b", b"below")
        assert not (await storage.stat("/a")).is_dir
        assert await storage.get_content("/a") == b"file"
        found = sorted([(info.path, info.is_dir) async for info in storage.list("/")])
        assert found == [("/a", False), ("/a", True)]
        assert [info.path async for info in storage.list("/a")] == ["/a/b"]
        assert sorted([info.path async for info in storage.walk("/")]) == ["/a", "/a/b"]
        await storage.delete("/a")
        assert [info.path async for info in storage.walk("/")] == []
