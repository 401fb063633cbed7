"""Names and paths: N01 to N25."""

from __future__ import annotations

import pytest

from storagedriver_core import InvalidPathError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup


class NameCases(CaseGroup):
    """What can be a path, and what two paths have to do with each other."""

    @case("N01")
    async def test_valid_paths_are_accepted(self, kit: Kit) -> None:
        paths = ["/a", "/A.b_c-9", "/.hidden", "/..two", "/a.", "/-", "/" + "/".join("abcdefghij")]
        for path in paths:
            await kit.storage.put_content(path, path.encode())
        for path in paths:
            assert await kit.peek(path) == path.encode()
        assert [info.path async for info in kit.storage.walk("/")] == sorted(paths)

    @case("N02")
    async def test_invalid_paths_are_refused_by_name(self, kit: Kit) -> None:
        for path in ["", "abc", "/abc//x", "/abc/", "//", "//abc"]:
            with pytest.raises(InvalidPathError) as refused:
                await kit.storage.put_content(path, b"")
            assert refused.value.path == path
            with pytest.raises(InvalidPathError):
                await kit.storage.get_content(path)
        assert await kit.harness.raw_list() == []
