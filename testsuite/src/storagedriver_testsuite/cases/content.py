"""Content round trip: C01 to C07 and C14 to C21."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from storagedriver_core import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    FileInfo,
    LimitExceededError,
    Storage,
    StorageDriverError,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import names

MEBIBYTE = 1024 * 1024


async def replace_content(
    storage: Storage, say: Callable[[Any], None], path: str, data: bytes
) -> None:
    """In a child process: tell what is at `path`, and put `data` there."""
    say((await storage.get_content(path)).decode())
    await storage.put_content(path, data)
    say("replaced")


class ContentCases(CaseGroup):
    """What is put is what is got."""

    @case("C01")
    async def test_what_is_put_is_what_is_got(self, kit: Kit) -> None:
        await kit.storage.put_content("/a/b", b"content")
        assert await kit.peek("/a/b") == b"content"
        assert await kit.storage.get_content("/a/b") == b"content"
        await kit.seed("/c", b"seeded")
        assert await kit.storage.get_content("/c") == b"seeded"

    @case("C02")
    async def test_any_bytes_are_content(self, kit: Kit) -> None:
        for data in [
            bytes(range(256)),
            b"\0",
            b"\xff\xfe\xfd",
            b"\r\n\r\n\x1a",
            "é".encode("utf-16"),
        ]:
            await kit.storage.put_content("/a", data)
            assert await kit.peek("/a") == data
            assert await kit.storage.get_content("/a") == data

    @case("C03")
    async def test_empty_content_exists(self, kit: Kit) -> None:
        await kit.storage.put_content("/d/empty", b"")
        info = await kit.storage.stat("/d/empty")
        assert (info.size, info.is_dir) == (0, False)
        assert await names(kit.storage.list("/d")) == ["/d/empty"]
        assert await kit.storage.get_content("/d/empty") == b""
        async with await kit.storage.reader("/d/empty") as reader:
            assert await reader.read() == b""

    @case("C04")
    async def test_a_mebibyte_is_kept(self, kit: Kit) -> None:
        data = kit.random_bytes(MEBIBYTE)
        await kit.storage.put_content("/a", data)
        assert await kit.peek("/a") == data
        assert await kit.storage.get_content("/a") == data

    @case("C05")
    async def test_shorter_content_leaves_no_rest_of_longer(self, kit: Kit) -> None:
        await kit.seed("/a", kit.random_bytes(100_000))
        await kit.storage.put_content("/a", b"short")
        assert await kit.peek("/a") == b"short"
        assert (await kit.storage.stat("/a")).size == 5
        assert await kit.storage.get_content("/a") == b"short"

    @case("C06")
    async def test_one_path_is_put_again_and_again_with_any_size(self, kit: Kit) -> None:
        for size in [1, 0, 1000, 999, 70_000, 1, 0, 65_536, 3]:
            data = kit.random_bytes(size)
            await kit.storage.put_content("/a/b", data)
            assert await kit.storage.get_content("/a/b") == data
            assert (await kit.storage.stat("/a/b")).size == size

    @case("C07")
    async def test_json_is_the_same_value_afterwards(self, kit: Kit) -> None:
        value = {"näme": [1, 2.5, None, True, "\n\u2028\\"], "nested": {"": {}}}
        await kit.storage.put_content("/a.json", json.dumps(value, ensure_ascii=False).encode())
        assert json.loads(await kit.storage.get_content("/a.json")) == value

    @case("C14", needs=("checksum_algorithms",))
    async def test_stored_digest_is_that_of_the_content(self, kit: Kit) -> None:
        for data in [b"first", b"", kit.random_bytes(MEBIBYTE)]:
            await kit.seed("/a", data)
            for algorithm in kit.storage.capabilities.checksum_algorithms:
                expected = hashlib.new(algorithm, data).hexdigest()
                assert await kit.storage.checksum("/a", algorithm) == expected

    @case("C15", needs=("put_with_metadata",))
    async def test_content_type_and_metadata_come_back(self, kit: Kit) -> None:
        storage = kit.storage
        kind, metadata = "application/vnd.example.v1+json", {"owner": "me", "a-b_c9": "x; y=z"}
        await storage.put_content("/a", b"data", content_type=kind, metadata=metadata)
        await _assert_described(await storage.stat("/a"), kind, metadata)
        if storage.capabilities.upload:
            async with await storage.writer("/w", content_type=kind, metadata=metadata) as writer:
                await writer.write(b"data")
                await writer.commit()
            await _assert_described(await storage.stat("/w"), kind, metadata)
        await storage.put_content("/a", b"plain")
        replaced = await storage.stat("/a")
        assert replaced.content_type != kind
        assert not replaced.metadata
        odd: list[dict[str, str]] = [{key: "v"} for key in ["", "é", "a b", "A", "a:b", "a\n"]]
        odd += [{"key": value} for value in ["é", "a\nb", " a", "a ", "\t", "\x7f"]]
        for pairs in odd:
            with pytest.raises(ConfigurationError):
                await storage.put_content("/a", b"odd", metadata=pairs)
        with pytest.raises(ConfigurationError):
            await storage.put_content("/a", b"odd", content_type="text/plain\r\nx-y: z")
        most = storage.capabilities.max_metadata_bytes
        if most is not None:
            largest = {"k": "v" * (most - 1)}
            await storage.put_content("/large", b"", metadata=largest)
            assert (await storage.stat("/large")).metadata == largest
            with pytest.raises(LimitExceededError):
                await storage.put_content("/a", b"odd", metadata={"k": "v" * most})
        assert await kit.peek("/a") == b"plain"

    @case("C16", needs=("put_if_absent",))
    async def test_create_only_put_refuses_an_object_that_is_there(self, kit: Kit) -> None:
        storage = kit.storage
        await storage.put_content("/a", b"first", if_absent=True)
        with pytest.raises(AlreadyExistsError) as refused:
            await storage.put_content("/a", b"second", if_absent=True)
        assert refused.value.path == "/a"
        assert await kit.peek("/a") == b"first"
        await storage.delete("/a")
        await storage.put_content("/a", b"third", if_absent=True)
        assert await kit.peek("/a") == b"third"

    @case("C17", needs=("put_if_match",))
    async def test_put_with_a_stale_etag_is_a_conflict(self, kit: Kit) -> None:
        storage = kit.storage
        first = await storage.put_content("/a", b"first")
        second = await storage.put_content("/a", b"second", if_match=first.etag)
        with pytest.raises(ConflictError):
            await storage.put_content("/a", b"third", if_match=first.etag)
        assert await kit.peek("/a") == b"second"
        with pytest.raises(ConflictError):
            await storage.put_content("/missing", b"new", if_match=first.etag)
        assert await names(storage.list("/")) == ["/a"]
        await storage.put_content("/a", b"fourth", if_match=second.etag)
        assert await kit.peek("/a") == b"fourth"

    @case("C18", needs=("put_if_match",))
    async def test_compare_and_swap_loses_no_increment(self, kit: Kit) -> None:
        await kit.seed("/counter", b"0")

        async def increment(times: int) -> None:
            # Each increment by another task spoils one attempt at most.
            for _ in range(5 * 6):
                async with await kit.storage.reader("/counter") as reader:
                    value = int(await reader.read())
                try:
                    new = str(value + 1).encode()
                    await kit.storage.put_content("/counter", new, if_match=reader.info.etag)
                except ConflictError:
                    continue
                times -= 1
                if not times:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(increment(6))
        assert await kit.peek("/counter") == b"30"

    @case("C19")
    async def test_put_returns_what_stat_says(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        large = kit.random_bytes(storage.capabilities.min_part_size * 2 + 1)
        for data in [b"first", b"", b"second", large]:
            returned = await storage.put_content("/a/b", data)
            _assert_same(returned, await storage.stat("/a/b"))
        if storage.capabilities.upload:
            async with await storage.writer("/a/b") as writer:
                await writer.write(large[::-1])
                returned = await writer.commit()
            _assert_same(returned, await storage.stat("/a/b"))

    @case("C20", needs=("fresh_reads",))
    async def test_put_is_seen_at_once_by_others(self, kit: Kit) -> None:
        other = await kit.open()
        for data in [b"first", b"second, and longer", b"3rd"]:
            await kit.storage.put_content("/a/b", data)
            assert (await other.stat("/a/b")).size == len(data)
            assert await other.get_content("/a/b") == data
            async with await other.reader("/a/b") as reader:
                assert await reader.read() == data
        if kit.storage.capabilities.shared_between_processes:
            async with kit.child(replace_content, "/a/b", b"of a child") as child:
                assert await child.said() == "3rd"
                assert await child.said() == "replaced"
                assert await kit.storage.get_content("/a/b") == b"of a child"
                assert (await other.stat("/a/b")).size == 10
                assert await child.wait() == 0

    @case("C21")
    async def test_reader_never_mixes_two_versions(self, kit: Kit) -> None:
        old = b"o" * (3 * MEBIBYTE)
        for new in [b"n" * len(old), b"n" * 10, b"n" * (2 * len(old))]:
            await kit.seed("/a", old)
            async with await kit.storage.reader("/a") as reader:
                begun = await reader.read(1000)
                await kit.storage.put_content("/a", new)
                try:
                    data = begun + await reader.read()
                except StorageDriverError:
                    assert not kit.storage.capabilities.pinned_reads
                else:
                    assert data == old, "the bytes are not those of the version that was opened"
            assert await kit.storage.get_content("/a") == new


async def _assert_described(info: FileInfo, content_type: str, metadata: dict[str, str]) -> None:
    assert info.content_type == content_type
    assert info.metadata == metadata


def _assert_same(returned: FileInfo, found: FileInfo) -> None:
    """What a write returned is what `stat` says; a store need not return everything."""
    for field in ["path", "size", "mod_time", "is_dir", "etag", "content_type"]:
        value = getattr(returned, field)
        assert value is None or value == getattr(found, field), f"{field} differs"
