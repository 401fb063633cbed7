"""List and walk: pages, order, where they start and how they end. The rest of L01 to L28."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from storagedriver_core import Capabilities, Storage
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Disturbed, Recorder, TracedMemory, names

PAGE = 1000
# What a service gives in one page at most, whatever it is asked for.
FULL_PAGE = 1000
MANY = 10_001
# A page of entries may be held, and of the others their bare names: a local file system gives
# names in no order.
FLAT_BYTES = 1024 * 1024
NAME_BYTES = 100


def neighbours(declared: Capabilities) -> list[str]:
    """Name files whose paths sort closely around a directory's, in byte order."""
    below = ["/d/a/x", "/d/a/x-y", "/d/a/x.z", "/d/a/xy", "/d/a-/x"]
    beside = ["/d/a-b", "/d/a.b", "/d/a.", "/d/a0", "/d/a_", "/d/aa", "/d/aa-b", "/d/b"]
    if declared.path_alphabet != "portable":
        beside += ["/d/a!", "/d/a,b", "/d/a b", "/d/a'"]
    if declared.file_and_directory_share_name:
        beside += ["/d/a", "/d/a-"]
    return sorted(below + beside)


def children(files: list[str], directory: str) -> list[str]:
    """Give what a list of `directory` gives, in byte order, directories with a slash."""
    prefix = f"{directory}/"
    found = set()
    for path in files:
        name, slash, _ = path.removeprefix(prefix).partition("/")
        found.add(prefix + name + slash)
    return sorted(found)


class PagingCases(CaseGroup):
    """Pages, order, limits, and listings that end early."""

    @case("L05")
    async def test_page_size_changes_nothing(self, kit: Kit) -> None:
        files = [f"/d/{name}/{number}" for name in "abc" for number in range(3)]
        files += ["/d/d", "/d/e", "/d/f"]
        await kit.seed_many(dict.fromkeys(files, b""))
        for page_size in [*range(1, 14), 1000]:
            listed = await names(kit.storage.list("/d", page_size=page_size))
            assert sorted(listed) == ["/d/a/", "/d/b/", "/d/c/", "/d/d", "/d/e", "/d/f"]
            walked = await names(kit.storage.walk("/d", page_size=page_size))
            assert sorted(walked) == files

    @case("L06")
    async def test_directory_of_1200_entries_is_listed_whole(self, kit: Kit) -> None:
        files = [f"/many/{number:04}" for number in range(1200)]
        await kit.seed_many(dict.fromkeys(files, b""))
        assert sorted(await names(kit.storage.list("/many"))) == files
        assert sorted(await names(kit.storage.walk("/"))) == files

    @case("L10", needs=("walk_with_start_after",))
    async def test_start_after_is_exclusive(self, kit: Kit) -> None:
        files = ["/d/b", "/d/c/x", "/d/d"]
        await kit.seed_many(dict.fromkeys(files, b""))
        places = ["/c", "/d", "/d/a", "/d/b", "/d/bb", "/d/c", "/d/c/x", "/d/d", "/d/d/z", "/e"]
        for listing, whole in [
            (kit.storage.list, ["/d/b", "/d/c/", "/d/d"]),
            (kit.storage.walk, files),
        ]:
            for place in places:
                rest = [path for path in whole if path > place]
                assert sorted(await names(listing("/d", start_after=place))) == rest, place

    @case("L11")
    async def test_limit_ends_a_listing(self, kit: Kit) -> None:
        files = [f"/d/{number}" for number in range(5)]
        await kit.seed_many(dict.fromkeys(files, b""))
        for listing in [kit.storage.list, kit.storage.walk]:
            for limit in range(7):
                for page_size in [1, 2, 1000]:
                    found = await names(listing("/d", limit=limit, page_size=page_size))
                    assert len(found) == len(set(found)) == min(limit, 5)
                    assert set(found) <= set(files)
                    if kit.capabilities.ordered_walk:
                        assert found == files[:limit]

    @case("L12", needs=("ordered_walk",))
    async def test_listings_come_in_byte_order(self, kit: Kit) -> None:
        files = ["/d/B", "/d/a", "/d/0", "/d/_", "/d/-", "/d/c.d", "/d/c/d", "/d/c-d", "/d/10"]
        if kit.capabilities.path_alphabet != "portable":
            # UTF-16 sorts the last two the other way round.
            files += ["/d/é", "/d/e", "/d/z", "/d/\uff5e", "/d/\U0001f600"]
        await kit.seed_many(dict.fromkeys(files, b""))
        in_order = sorted(files, key=str.encode)
        for page_size in [1, 4, 1000]:
            assert await names(kit.storage.walk("/", page_size=page_size)) == in_order
            listed = await names(kit.storage.list("/d", page_size=page_size))
            assert listed == children(files, "/d")

    @case("L15")
    async def test_error_in_the_callers_loop_ends_the_walk(self, kit: Kit) -> None:
        await kit.seed_many(dict.fromkeys([f"/d/{number:02}" for number in range(40)], b""))
        recorder = Recorder(kit.harness.driver())
        storage = await kit.open(kit.wrapped_driver(recorder))
        seen = 0
        with pytest.raises(LookupError):
            async with aclosing(storage.walk("/", page_size=2)) as walk:
                async for _ in walk:
                    seen += 1
                    if seen == 3:
                        raise LookupError
        assert seen == 3
        # Two pages were needed; another may have been fetched ahead, but not all of the twenty.
        assert 2 <= len(recorder.calls) <= 4
        assert recorder.open_listings == 0

    @case("L21")
    async def test_listing_cancelled_half_way_stops(self, kit: Kit) -> None:
        files = [f"/d/{number:02}" for number in range(10)]
        await kit.seed_many(dict.fromkeys(files, b""))
        stuck = asyncio.Event()
        steps = 0

        async def stick(operation: str, path: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal steps
            steps += 1
            if steps == 3:
                stuck.set()
                await asyncio.Event().wait()
            return await call()

        recorder = Recorder(Disturbed(kit.harness.driver(), stick))
        storage = await kit.open(kit.wrapped_driver(recorder))
        for listing in [storage.list, storage.walk]:
            steps = 0
            stuck.clear()
            task = asyncio.create_task(names(listing("/d", page_size=2)))
            await stuck.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert recorder.open_listings == 0
            assert sorted(await names(listing("/d"))) == files

    @case("L22")
    async def test_long_listing_is_cheap_in_requests_and_memory(self, kit: Kit) -> None:
        count = MANY if kit.harness.offers("raw_put") and not kit.harness.is_remote else 2_001
        if kit.large:
            count = 100_000
        await kit.seed_many({f"/many/{number:06}": b"" for number in range(count)})
        recorder = Recorder(kit.harness.driver())
        storage = await kit.open(kit.wrapped_driver(recorder))
        for listing in [storage.list, storage.walk]:
            recorder.calls.clear()
            seen = total = 0
            with TracedMemory() as memory:
                async for info in listing("/many", page_size=PAGE):
                    seen += 1
                    total += int(info.path[-6:])
            assert (seen, total) == (count, count * (count - 1) // 2)
            assert len(recorder.calls) <= math.ceil(count / PAGE) + 2
            # Of a few pages, all together are no more than one is while it is read.
            assert memory.peak <= FLAT_BYTES + NAME_BYTES * count or count < MANY
        if kit.harness.offers("proxied_driver"):
            proxy, proxied = await kit.proxied()
            for listing in [proxied.list, proxied.walk]:
                await proxy.forget()
                assert len(await names(listing("/many"))) == count
                assert len(await proxy.log()) <= math.ceil(count / FULL_PAGE) + 2

    @case("L23", needs=("walk_with_start_after", "ordered_walk"))
    async def test_walk_from_any_file_gives_exactly_the_rest(self, kit: Kit) -> None:
        files = ["/d/a-/x", "/d/a/b/x", "/d/a/b/y", "/d/a/b0", "/d/a/c", "/d/a0", "/d/b/c/d/e"]
        await kit.seed_many(dict.fromkeys(files, b""))
        places = [*files, "/d/a", "/d/a/b", "/d/a/b/", "/d/a/b/xx", "/d/a/a", "/d/b/c", "/d/c"]
        for place in places:
            rest = [path for path in files if path > place]
            for page_size in [1, 1000]:
                walk = kit.storage.walk("/", start_after=place, page_size=page_size)
                assert await names(walk) == rest, place

    @case("L24")
    async def test_changes_beside_stable_entries_hide_and_double_none(self, kit: Kit) -> None:
        stable = [f"/d/m{number:02}" for number in range(12)]
        stable += [f"/d/m{number:02}/x" for number in range(12, 18)]
        await kit.seed_many(dict.fromkeys(stable, b""))
        for listing in [kit.storage.list, kit.storage.walk]:
            seen: Counter[str] = Counter()
            added: list[str] = []
            async for info in listing("/d", page_size=3):
                seen[f"{info.path}/x" if info.is_dir else info.path] += 1
                # Before, beside and after the place where the listing stands.
                number = seen.total()
                if number <= 20:
                    await self._delete_all(kit.storage, added)
                    added = [f"/d/{name}-{number}" for name in ["a", f"m{number:02}", "z"]]
                    for path in added:
                        await kit.storage.put_content(path, b"")
            await self._delete_all(kit.storage, added)
            assert {path: seen[path] for path in stable} == dict.fromkeys(stable, 1)
            assert max(seen.values()) == 1

    @staticmethod
    async def _delete_all(storage: Storage, paths: list[str]) -> None:
        for path in paths:
            await storage.delete(path)

    @case("L27", needs=("harness.list_requests|proxied_driver",))
    async def test_list_does_not_look_through_the_subtree(self, kit: Kit) -> None:
        files = [f"/d/deep/{first}/{second}" for first in range(40) for second in range(5)]
        files += ["/d/x", "/d/y", "/d/z"]
        await kit.seed_many(dict.fromkeys(files, b""))
        expected = ["/d/deep/", "/d/x", "/d/y", "/d/z"]
        # A page for the directory, one to see that it was the last, and one look at each child.
        most = 2 + len(expected)
        if kit.harness.offers("list_requests"):
            before = kit.harness.list_requests()
            assert sorted(await names(kit.storage.list("/d", page_size=10))) == expected
            assert kit.harness.list_requests() - before <= most
        if kit.harness.offers("proxied_driver"):
            proxy, proxied = await kit.proxied()
            await proxied.check()
            await proxy.forget()
            assert sorted(await names(proxied.list("/d", page_size=10))) == expected
            assert len(await proxy.log()) <= most

    @case("L28")
    async def test_names_around_a_directory_survive_every_page_boundary(self, kit: Kit) -> None:
        files = neighbours(kit.capabilities)
        await kit.seed_many(dict.fromkeys(files, b""))
        for page_size in range(1, len(files) + 2):
            walked = await names(kit.storage.walk("/d", page_size=page_size))
            listed = await names(kit.storage.list("/d", page_size=page_size))
            if not kit.capabilities.ordered_walk:
                walked, listed = sorted(walked), sorted(listed)
            assert walked == files
            assert listed == children(files, "/d")
