"""Move and copy of whole objects: M01 to M11, M14, M17, M20."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from storagedriver_core import (
    AlreadyExistsError,
    ConflictError,
    InvalidPathError,
    PathNotFoundError,
    Storage,
    UnsupportedMethodError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Recorder, TracedMemory, names

# Questions and answers that hold no content.
FEW_BYTES = 64 * 1024


def verbs(storage: Storage) -> list[Callable[..., Awaitable[None]]]:
    """Give `move`, and `copy` where it is declared: most rules hold for both."""
    return [storage.move, storage.copy] if storage.capabilities.copy else [storage.move]


async def assert_missing(storage: Storage, path: str) -> None:
    """Check that there is nothing at `path`, however one looks."""
    for look in (storage.stat, storage.get_content, storage.reader):
        with pytest.raises(PathNotFoundError):
            await look(path)
    assert path not in await names(storage.walk("/"))


class MoveCases(CaseGroup):
    """What a move or copy changes, and what it leaves alone."""

    @case("M01")
    async def test_moved_object_is_at_the_target_only(self, kit: Kit) -> None:
        for data in [kit.random_bytes(1000), b""]:
            await kit.seed("/a/b/x", data)
            await kit.storage.move("/a/b/x", "/a/y")
            assert await kit.peek("/a/y") == data
            assert (await kit.storage.stat("/a/y")).size == len(data)
            await assert_missing(kit.storage, "/a/b/x")
            # The directory that it left empty went with it.
            assert await names(kit.storage.list("/a")) == ["/a/y"]

    @case("M02")
    async def test_move_replaces_a_file(self, kit: Kit) -> None:
        for old, new in [(b"old", b"longer than old"), (b"longer than new", b"new")]:
            await kit.seed_many({"/a/x": new, "/a/y": old})
            await kit.storage.move("/a/x", "/a/y")
            assert await kit.peek("/a/y") == await kit.storage.get_content("/a/y") == new
            await assert_missing(kit.storage, "/a/x")

    @case("M03")
    async def test_missing_source_is_named_and_leaves_the_target(self, kit: Kit) -> None:
        await kit.seed("/a/y", b"old")
        for verb in verbs(kit.storage):
            for target in ["/a/y", "/a/new"]:
                with pytest.raises(PathNotFoundError) as missing:
                    await verb("/a/x", target)
                assert missing.value.path == "/a/x"
        assert await kit.peek("/a/y") == b"old"
        assert await names(kit.storage.walk("/")) == ["/a/y"]

    @case("M04")
    async def test_invalid_path_is_refused_by_name(self, kit: Kit) -> None:
        await kit.seed("/a/x", b"x")
        invalid = ["", "b", "/", "/a//b", "/b/", "/a/../b", "/./b", "/.storagedriver/b"]
        for verb in verbs(kit.storage):
            for path in invalid:
                with pytest.raises(InvalidPathError) as refused:
                    await verb("/a/x", path)
                # An empty path names nothing; then it is the operation's.
                assert refused.value.path == (path or "/a/x")
                with pytest.raises(InvalidPathError):
                    await verb(path, "/a/y")
        assert await kit.peek("/a/x") == b"x"
        assert await names(kit.storage.walk("/")) == ["/a/x"]

    @case("M05", needs=("upload",))
    async def test_object_made_by_a_put_or_a_writer_moves_alike(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        data = kit.random_bytes(3 * PART + 17)
        await storage.put_content("/a/put", data)
        async with await storage.writer("/a/written") as writer:
            await writer.write(data)
            await writer.commit()
        for source in ["/a/put", "/a/written"]:
            for verb in reversed(verbs(storage)):
                await verb(source, f"{source}-moved")
                assert await kit.peek(f"{source}-moved") == data
        assert sorted(await names(storage.walk("/"))) == ["/a/put-moved", "/a/written-moved"]

    @case("M06")
    async def test_move_onto_itself_changes_nothing(self, kit: Kit) -> None:
        await kit.seed("/a/x", b"x")
        before = await kit.storage.stat("/a/x")
        for verb in verbs(kit.storage):
            await verb("/a/x", "/a/x")
            assert await kit.peek("/a/x") == b"x"
            assert await kit.storage.stat("/a/x") == before
            for path in ["/a/missing", "/a"]:
                with pytest.raises(PathNotFoundError) as missing:
                    await verb(path, path)
                assert missing.value.path == path

    @case("M07")
    async def test_directories_of_the_target_appear(self, kit: Kit) -> None:
        await kit.seed("/x", b"x")
        for verb in reversed(verbs(kit.storage)):
            await verb("/x", "/new/and/deep/y")
            assert await kit.peek("/new/and/deep/y") == b"x"
            assert await names(kit.storage.list("/new/and")) == ["/new/and/deep/"]
            await kit.storage.delete("/new")

    @case("M08")
    async def test_directory_is_neither_source_nor_target(self, kit: Kit) -> None:
        objects = {"/d/x": b"x", "/d/e/y": b"y", "/f": b"f", "/g": b"g"}
        await kit.seed_many(objects)
        for verb in verbs(kit.storage):
            for directory in ["/d", "/d/e"]:
                with pytest.raises(PathNotFoundError) as missing:
                    await verb(directory, "/new")
                assert missing.value.path == directory
                with pytest.raises(ConflictError):
                    await verb("/f", directory)
            with pytest.raises(PathNotFoundError):
                await verb("/d", "/f")
            if not kit.capabilities.file_and_directory_share_name:
                with pytest.raises(ConflictError):
                    await verb("/f", "/g/below")
        assert sorted(await names(kit.storage.walk("/"))) == sorted(objects)
        for path, data in objects.items():
            assert await kit.peek(path) == data

    @case("M09")
    async def test_create_only_move_or_copy_replaces_nothing(self, kit: Kit) -> None:
        storage, declared = kit.storage, kit.capabilities
        for verb, is_declared in [
            (storage.move, declared.move_if_absent),
            (storage.copy, declared.copy_if_absent),
        ]:
            await kit.seed_many({"/a/x": b"x", "/a/y": b"y"})
            refusal = AlreadyExistsError if is_declared else UnsupportedMethodError
            for target in ["/a/y", "/a/x"]:
                with pytest.raises(refusal):
                    await verb("/a/x", target, if_absent=True)
            assert (await kit.peek("/a/x"), await kit.peek("/a/y")) == (b"x", b"y")
            if is_declared:
                await verb("/a/x", "/b/new", if_absent=True)
                assert await kit.peek("/b/new") == b"x"
                await storage.delete("/b")

    @case("M10", needs=("copy",))
    async def test_copy_leaves_the_source(self, kit: Kit) -> None:
        data = kit.random_bytes(1000)
        await kit.seed_many({"/a/x": data, "/a/old": b"old", "/a/none": b""})
        for source, target in [("/a/x", "/new"), ("/a/x", "/a/old"), ("/a/none", "/a/none-2")]:
            await kit.storage.copy(source, target)
            assert await kit.peek(source) == await kit.peek(target)
        assert await kit.peek("/a/old") == data
        await kit.storage.delete("/a/x")
        assert await kit.peek("/new") == data
        with pytest.raises(PathNotFoundError):
            await kit.storage.copy("/a/x", "/a/old")
        assert await kit.peek("/a/old") == data

    @case("M11", needs=("copy", "put_with_metadata"))
    async def test_copy_and_move_keep_content_type_and_metadata(self, kit: Kit) -> None:
        storage = kit.storage
        media_type, metadata = "application/vnd.test+json", {"a-key": "a value"}
        for verb in verbs(storage):
            await storage.put_content("/x", b"x", content_type=media_type, metadata=metadata)
            await storage.put_content("/old", b"", content_type="text/plain", metadata={"b": "c"})
            for target in ["/new", "/old"]:
                await storage.copy("/x", "/source")
                await verb("/source", target)
                info = await storage.stat(target)
                assert (info.content_type, info.metadata) == (media_type, metadata)

    @case("M14")
    async def test_tree_moves_file_by_file_and_never_as_a_whole(self, kit: Kit) -> None:
        storage = kit.storage
        objects = {"/d/x": b"x", "/d/e/y": b"y", "/d/e/f/z": b"z"}
        await kit.seed_many(objects)
        with pytest.raises(PathNotFoundError):
            await storage.move("/d", "/new")
        assert sorted(await names(storage.walk("/"))) == sorted(objects)
        for path in await names(storage.walk("/d")):
            await storage.move(path, f"/new{path}")
        assert await names(storage.list("/")) == ["/new/"]
        with pytest.raises(PathNotFoundError):
            await storage.stat("/d")
        for path, data in objects.items():
            assert await kit.peek(f"/new{path}") == data

    @case("M17", needs=("atomic_commit",))
    async def test_target_is_never_missing_or_partial_while_it_is_replaced(self, kit: Kit) -> None:
        contents = [kit.random_bytes(100_000), kit.random_bytes(150_000)]
        sizes = {len(content) for content in contents}
        await kit.seed("/target", contents[0])
        other = await kit.open()

        async def move_often() -> None:
            for number in range(20):
                await kit.storage.put_content("/source", contents[number % 2])
                await kit.storage.move("/source", "/target")

        async def poll(moves: asyncio.Task[None]) -> None:
            while not moves.done():
                assert await other.get_content("/target") in contents
                assert (await other.stat("/target")).size in sizes
                assert "/target" in await names(other.list("/"))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(poll(group.create_task(move_often())))

    @case("M20")
    async def test_bytes_of_a_move_pass_the_client_only_as_declared(self, kit: Kit) -> None:
        size = 4 * 1024 * 1024
        await kit.seed("/source", bytes(size))
        recorder = Recorder(kit.harness.driver())
        storage = await kit.open(kit.wrapped_driver(recorder))
        with TracedMemory() as memory:
            await storage.move("/source", "/target")
        if kit.capabilities.move == "client_copy":
            assert recorder.object_bytes <= 2 * size
        else:
            assert recorder.object_bytes == 0
            # Nor did they pass inside the driver.
            assert memory.peak < size // 4
        assert await kit.peek("/target") == bytes(size)
        if kit.harness.offers("proxied_driver") and kit.capabilities.move != "client_copy":
            proxy, proxied = await kit.proxied()
            await proxied.move("/target", "/moved")
            assert sum(entry.sent + entry.received for entry in await proxy.log()) < FEW_BYTES
            assert await kit.peek("/moved") == bytes(size)
