"""Names and paths: N01 to N12 and N18 to N24, which names there are."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from storagedriver_core import (
    INTERNAL_COMPONENT,
    InvalidPathError,
    PathNotFoundError,
    Storage,
    StorageDriverError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Recorder


class NameCases(CaseGroup):
    """What can be a path."""

    @case("N01")
    async def test_valid_paths_are_accepted(self, kit: Kit) -> None:
        paths = ["/a", "/A.b_c-9", "/.hidden", "/..two", "/a.", "/-", "/" + "/".join("bcdefghijk")]
        for path in paths:
            await kit.storage.put_content(path, path.encode())
        for path in paths:
            assert await kit.peek(path) == path.encode()
        assert sorted([info.path async for info in kit.storage.walk("/")]) == sorted(paths)

    @case("N02")
    async def test_invalid_paths_are_refused_by_name(self, kit: Kit) -> None:
        for path in ["", "abc", "/abc//x", "/abc/", "//", "//abc"]:
            with pytest.raises(InvalidPathError) as refused:
                await kit.storage.put_content(path, b"")
            assert refused.value.path == path
            with pytest.raises(InvalidPathError):
                await kit.storage.get_content(path)
        assert await kit.harness.raw_list() == []

    @case("N03")
    async def test_empty_path_is_refused(self, kit: Kit) -> None:
        await kit.seed("/kept", b"kept")
        await _assert_refused(kit.storage, "")
        assert await kit.peek("/kept") == b"kept"

    @case("N04")
    async def test_unicode_names_come_back_from_every_operation(self, kit: Kit) -> None:
        names = ["é", "Ünïcödé", "日本語", "한국어", "Ελληνικά", "عربى", "🎉", "𐍈x", "ﬀ"]
        await _assert_kept(kit, names, {"unicode", "any"})

    @case("N05")
    async def test_odd_characters_come_back_from_every_operation(self, kit: Kit) -> None:
        odd = " !\"#$%&'()*+,:;<=>?@[\\]^`{|}~"
        await _assert_kept(kit, [f"a{character}b" for character in odd], {"unicode", "any"})

    @case("N06")
    async def test_control_characters_come_back_from_every_operation(self, kit: Kit) -> None:
        names = ["\t", "a\nb", "\na", "a\n", "a\r", "\ra", "\x01", "a\x1b[31mb", "\x7f", "a\x85"]
        await _assert_kept(kit, names, {"any"})

    @case("N07")
    async def test_names_are_not_stripped(self, kit: Kit) -> None:
        await _assert_kept(kit, [".a", "a.", "..a", "a..", "..."], {"portable", "unicode", "any"})
        await _assert_kept(kit, [" ", " a", "a ", "~", "~a", "a~", ". ", "a. "], {"unicode", "any"})

    @case("N08")
    async def test_names_are_not_decoded(self, kit: Kit) -> None:
        encoded = ["test%46.txt", "a%2Fb", "%2F", "%2e%2e", "%00", "a+b", "%25", "%", "&amp;"]
        await _assert_kept(kit, encoded, {"unicode", "any"})
        for decoded in ["/testF.txt", "/a/b"]:
            await kit.storage.put_content(decoded, b"decoded")
            await kit.storage.delete(decoded)

    @case("N09")
    async def test_what_is_not_utf_8_is_refused(self, kit: Kit) -> None:
        for path in ["/\udcff", "/a\udc80b", "/\ud83c/x", "/d/\udf89"]:
            await _assert_refused(kit.storage, path)
        assert await kit.harness.raw_list() == []

    @case("N10")
    async def test_slashes_too_many_are_refused_by_every_operation(self, kit: Kit) -> None:
        await kit.seed("/a/b", b"kept")
        for path in ["//a/b", "/a//b", "/a/b/", "/a/", "//", "///", "/a///b//", "a/b"]:
            await _assert_refused(kit.storage, path)
        assert [info.path async for info in kit.storage.walk("/")] == ["/a/b"]

    @case("N11")
    async def test_no_file_has_a_path_that_ends_in_a_slash(self, kit: Kit) -> None:
        storage = kit.storage
        await kit.seed("/a", b"kept")
        await kit.seed("/d/x", b"kept")
        for path in ["/a/", "/d/", "/new/"]:
            attempts = _attempts(storage, path)
            for operation in ["get_content", "reader", "put_content", "writer"]:
                with pytest.raises(InvalidPathError):
                    await attempts[operation]()
        assert await kit.peek("/a") == b"kept"
        assert sorted([info.path async for info in storage.walk("/")]) == ["/a", "/d/x"]

    @case("N12")
    async def test_case_of_letters_counts_as_declared(self, kit: Kit) -> None:
        await _assert_two_names(kit, "/name", "/NAME", kit.storage.capabilities.case_sensitive)

    @case("N18")
    async def test_dot_and_dot_dot_are_refused_by_every_operation(self, kit: Kit) -> None:
        await kit.seed("/a/b", b"kept")
        for path in ["/..", "/.", "/../x", "/a/../a/b", "/a/./b", "/a/..", "/a/b/.", "/a/../../x"]:
            await _assert_refused(kit.storage, path)
        assert [info.path async for info in kit.storage.walk("/")] == ["/a/b"]

    @case("N19", needs=("harness.plant_link",))
    async def test_links_are_not_followed_out_of_the_root(self, kit: Kit) -> None:
        storage = kit.storage
        with TemporaryDirectory() as outside:
            secret = Path(outside, "secret")
            await asyncio.to_thread(secret.write_bytes, b"secret")
            await kit.harness.plant_link("/file", str(secret))
            await kit.harness.plant_link("/directory", outside)
            for path in ["/file", "/directory/secret"]:
                attempts = _attempts(storage, path)
                for operation in ["get_content", "reader", "read_ranges", "move"]:
                    with pytest.raises(StorageDriverError):
                        await attempts[operation]()
            for path in ["/directory/secret", "/directory/new", "/directory/deep/new"]:
                with pytest.raises(StorageDriverError):
                    await storage.put_content(path, b"wrong")
            with pytest.raises(StorageDriverError):
                await storage.delete("/directory/secret")
            assert [info.path async for info in storage.walk("/")] == []
            # A link itself may go, never what it points to.
            with suppress(StorageDriverError):
                await storage.put_content("/file", b"inside")
            await storage.delete("/", everything=True)
            assert await asyncio.to_thread(secret.read_bytes) == b"secret"
            assert await asyncio.to_thread(os.listdir, outside) == ["secret"]

    @case("N20")
    async def test_longest_path_works_and_one_byte_more_is_refused(self, kit: Kit) -> None:
        recorder = Recorder(kit.wrapped_driver())
        storage = await kit.open(recorder)
        declared = storage.capabilities
        most, component = declared.max_path_bytes, declared.max_component_bytes
        longest = [_path_of(most, component)]
        too_long = [_path_of(most + 1, component)]
        if component + 2 <= most:
            longest.append("/" + "n" * component)
            too_long.append("/" + "n" * (component + 1))
        for path in longest:
            await storage.put_content(path, b"put")
            assert await kit.peek(path) == b"put"
            assert (await storage.stat(path)).path == path
            assert path in [info.path async for info in storage.walk("/")]
            await storage.move(path, "/short")
            await storage.move("/short", path)
            if declared.upload:
                async with await storage.writer(path) as writer:
                    await writer.write(b"written")
                    await writer.commit()
                assert await kit.peek(path) == b"written"
            await storage.delete(path)
        recorder.calls.clear()
        for path in too_long:
            await _assert_refused(storage, path)
        # One attempt is a commit, for which a writer was opened elsewhere.
        assert {*recorder.calls} <= {"open_upload", "abort_upload"}
        narrowed = await kit.open(narrow={"max_path_bytes": 100})
        if declared.path_alphabet != "portable":
            await _assert_refused(narrowed, "/" + "𐍈" * 25)

    @case("N21")
    async def test_component_over_255_bytes_works_or_is_an_invalid_path(self, kit: Kit) -> None:
        storage = kit.storage
        declared = storage.capabilities
        most = min(declared.max_component_bytes, declared.max_path_bytes - 1)
        components = ["n" * 255, "n" * 256, "n" * 1000]
        if declared.path_alphabet != "portable":
            # Bytes are counted, not characters.
            components += [
                "é" * 127,
                "é" * 128,
                "日" * 85,
                "日" * 86,
                "🎉" * 64,
                "🎉" * (most // 4 + 1),
            ]
        for component in components:
            path = f"/{component}"
            if len(component.encode()) <= most:
                await storage.put_content(path, b"there")
                assert await kit.peek(path) == b"there"
                assert [info.path async for info in storage.list("/")] == [path]
                await storage.delete(path)
            else:
                await _assert_refused(storage, path)
                await _assert_refused(storage, f"{path}/below")

    @case("N22")
    async def test_normal_forms_of_unicode_count_as_declared(self, kit: Kit) -> None:
        composed, decomposed = (unicodedata.normalize(form, "/café") for form in ("NFC", "NFD"))
        declared = kit.storage.capabilities
        if declared.path_alphabet == "portable":
            for path in [composed, decomposed]:
                await _assert_refused(kit.storage, path)
        else:
            await _assert_two_names(kit, composed, decomposed, not declared.normalizes_unicode)

    @case("N23")
    async def test_names_that_windows_reserves_are_ordinary(self, kit: Kit) -> None:
        names = ["CON", "con", "NUL", "AUX.txt", "COM1", "LPT9.log", "a.", "CON.", "PRN"]
        if not kit.storage.capabilities.case_sensitive:
            names.remove("con")
        await _assert_round_trip(kit, names)

    @case("N24")
    async def test_internal_names_cannot_be_addressed(self, kit: Kit) -> None:
        storage = kit.storage
        own = INTERNAL_COMPONENT
        for path in [f"/{own}", f"/{own}/x", f"/a/{own}", f"/a/{own}/x", f"/{own}/tails/x/1"]:
            await _assert_refused(storage, path)
        assert await kit.harness.raw_list() == []
        await _assert_round_trip(kit, [f"{own}s", f"x{own}", own.removeprefix("."), f".{own}"])
        if not storage.capabilities.upload:
            return
        writer = await storage.writer("/a")
        await writer.write(b"not committed")
        token = await writer.suspend()
        for name in await kit.harness.raw_list():
            with pytest.raises((InvalidPathError, PathNotFoundError)):
                await storage.get_content(name)
            with pytest.raises((InvalidPathError, PathNotFoundError)):
                await storage.delete(name)
        await (await storage.resume(token)).cancel()


def _attempts(storage: Storage, path: str) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """Give every operation, on `path`."""
    attempts: dict[str, Callable[[], Awaitable[object]]] = {
        "stat": lambda: storage.stat(path),
        "get_content": lambda: storage.get_content(path),
        "reader": lambda: storage.reader(path),
        "read_ranges": lambda: storage.read_ranges(path, [(0, 1)]),
        "list": lambda: anext(storage.list(path)),
        "walk": lambda: anext(storage.walk(path)),
        "put_content": lambda: storage.put_content(path, b"wrong"),
        "writer": lambda: storage.writer(path),
        "move": lambda: storage.move(path, "/target"),
        "move to": lambda: storage.move("/source", path),
        "delete": lambda: storage.delete(path, everything=True),
        "delete_many": lambda: storage.delete_many(["/other", path]),
        "checksum": lambda: storage.checksum(path, "sha256"),
        "redirect_url": lambda: storage.redirect_url(path),
        "local_path": lambda: storage.local_path(path),
    }
    if storage.capabilities.copy:
        attempts["copy"] = lambda: storage.copy(path, "/target")
        attempts["copy to"] = lambda: storage.copy("/source", path)
    if storage.capabilities.upload:
        attempts["commit"] = lambda: _commit_to(storage, path)
    return attempts


async def _commit_to(storage: Storage, path: str) -> None:
    async with await storage.writer("/opened") as writer:
        await writer.commit(to=path)


async def _assert_refused(storage: Storage, path: str) -> None:
    """Every operation refuses the path, by name."""
    for operation, attempt in _attempts(storage, path).items():
        with pytest.raises(InvalidPathError) as refused:
            await attempt()
            pytest.fail(f"{operation} takes {path!r}")
        # An error without a path is given that of the operation's first.
        assert refused.value.path == path or not path, f"{operation} names another path"


async def _assert_kept(kit: Kit, names: Iterable[str], alphabets: set[str]) -> None:
    """The names round trip where the alphabet has them, and are refused elsewhere."""
    if kit.storage.capabilities.path_alphabet in alphabets:
        await _assert_round_trip(kit, names)
        return
    for name in names:
        await _assert_refused(kit.storage, f"/{name}")
    assert await kit.harness.raw_list() == []


async def _assert_round_trip(kit: Kit, names: Iterable[str]) -> None:
    """Every operation gives back the names, of files and of directories, as they are."""
    storage = kit.storage
    files = {f"/files/{name}": name.encode() for name in names}
    leaves = {f"/directories/{name}/leaf": name.encode() for name in names}
    for path, content in (files | leaves).items():
        await storage.put_content(path, content)
    for path, content in (files | leaves).items():
        assert await kit.peek(path) == content
        assert await storage.get_content(path) == content
        assert (await storage.stat(path)).path == path
    directories = {path.removesuffix("/leaf") for path in leaves}
    assert {info.path async for info in storage.list("/files")} == set(files)
    assert {info.path async for info in storage.list("/directories")} == directories
    assert {info.path async for info in storage.walk("/")} == set(files | leaves)
    for directory in directories:
        assert (await storage.stat(directory)).is_dir
        assert [info.path async for info in storage.list(directory)] == [f"{directory}/leaf"]
        await storage.delete(directory)
    for path, content in files.items():
        moved = path.replace("/files/", "/moved/", 1)
        await storage.move(path, moved)
        assert await kit.peek(moved) == content
        await storage.delete(moved)
        with pytest.raises(PathNotFoundError):
            await storage.stat(moved)
    assert [info.path async for info in storage.walk("/")] == []


async def _assert_two_names(kit: Kit, first: str, second: str, expected: bool) -> None:
    """The paths name two files if `expected`, and else one."""
    storage = kit.storage
    await storage.put_content(first, b"first")
    await storage.put_content(second, b"second")
    assert await storage.get_content(first) == (b"first" if expected else b"second")
    assert await storage.get_content(second) == b"second"
    found = [info.path async for info in storage.list("/")]
    if expected:
        assert sorted(found) == sorted([first, second])
    else:
        assert len(found) == 1
    await storage.delete(second)
    assert [info.path async for info in storage.list("/")] == ([first] if expected else [])


def _path_of(size: int, component: int) -> str:
    """Give a path of `size` bytes, of components of at most `component` bytes."""
    path = ""
    while left := size - len(path):
        taken = min(left, component + 1)
        taken -= left - taken == 1  # a slash needs a name behind it
        path += "/" + "p" * (taken - 1)
    return path
