"""What operations cost in requests and bytes, counted at a proxy: Q08, R19, R22."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Coroutine
from typing import Any

from storagedriver_core import DEFAULT_PART_SIZE, Storage, StorageDriverError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import names
from storagedriver_testsuite.proxy import Fault, Proxy

MIB = 1024 * 1024
ENTRIES = 1200
PAGE = 1000
MANY_KEYS = 1000
# What else may come with an object's bytes, as the answer to a lookup.
SLACK_BYTES = 4096

_PROXIED = ("harness.upstream_url", "harness.proxied_driver")


async def requests_of(proxy: Proxy, call: Awaitable[object]) -> int:
    """Make a call, and count its requests."""
    await proxy.forget()
    await call
    return len(await proxy.log())


async def bytes_of(proxy: Proxy, call: Awaitable[object]) -> int:
    """Make a call, and count the bytes of all answers' bodies."""
    await proxy.forget()
    await call
    return sum(entry.received for entry in await proxy.log())


def check_budget(name: str, made: int, most: int, more: int) -> None:
    """Fail unless a call took its requests.

    Args:
        name: What was called.
        made: How many it made.
        most: How many are enough.
        more: How many the harness says that it takes in addition, exactly.
    """
    assert 1 <= made <= most + more, f"{name}: {made} requests, where {most + more} are enough"
    assert not more or made == most + more, f"{name}: {made} requests, not {most} + {more}"


class BudgetCases(CaseGroup):
    """What operations cost."""

    @case("Q08", needs=_PROXIED)
    async def test_operations_keep_their_budget_of_requests(self, kit: Kit) -> None:
        files = [f"/d/{number:04}" for number in range(ENTRIES)]
        await kit.seed_many({**dict.fromkeys(files, b"content"), "/f": b"content"})
        proxy, storage = await kit.proxied()
        await storage.check()  # what is needed once: credentials, a look at the bucket
        pages = math.ceil(ENTRIES / PAGE) + 1
        bulk = math.ceil(MANY_KEYS / kit.harness.keys_per_delete) + 3
        extra = kit.harness.extra_requests
        budgets: list[tuple[str, Coroutine[Any, Any, object], int, int]] = [
            ("get_content", storage.get_content("/d/0000"), 1, 0),
            ("reader", self._read(storage, "/d/0000"), 1, 0),
            ("put_content", storage.put_content("/p", b"content"), 1, extra.put),
            ("put_content over another", storage.put_content("/p", b"newer"), 1, extra.replace),
            ("stat of a file", storage.stat("/d/0000"), 2, 0),
            ("stat of a directory", storage.stat("/d"), 2, 0),
            ("list", names(storage.list("/d")), pages, 0),
            ("walk", names(storage.walk("/d")), pages, 0),
            ("delete", storage.delete("/f"), 2, 0),
            ("delete_many", storage.delete_many(files[:MANY_KEYS]), bulk, 0),
        ]
        try:
            for name, call, most, more in budgets:
                check_budget(name, await requests_of(proxy, call), most, more)
        finally:
            for _, call, _, _ in budgets:
                call.close()  # those after one that failed were never begun
        assert len(await names(kit.storage.walk("/d"))) == ENTRIES - MANY_KEYS
        if kit.capabilities.upload:
            await self._check_upload(kit, proxy)

    @staticmethod
    async def _read(storage: Storage, path: str) -> None:
        async with await storage.reader(path) as reader:
            assert await reader.read() == b"content"

    @staticmethod
    async def _check_upload(kit: Kit, proxy: Proxy) -> None:
        if kit.large:
            size, part = 64 * MIB, DEFAULT_PART_SIZE
        else:
            part = max(PART, kit.capabilities.min_part_size)
            size = 4 * part

        async def opened() -> Storage:
            driver = kit.wrapped_driver(kit.harness.proxied_driver(proxy.url))
            storage = await (kit.open(driver) if kit.large else kit.open_parts(driver))
            await storage.check()
            return storage

        async def upload(storage: Storage, path: str, pieces: int) -> None:
            async with await storage.writer(path, max_size=size) as writer:
                for _ in range(pieces):
                    await writer.write(bytes(part // 4))
                await writer.commit()
            # What comes after the commit, and is not waited for there, has come then.
            await storage.aclose()

        await upload(await opened(), "/first", 1)  # where uploads lie may be made once
        parts, extra = math.ceil(size / part), kit.harness.extra_requests
        made = await requests_of(proxy, upload(await opened(), "/u", size // (part // 4)))
        check_budget("upload", made, parts + 2, parts * extra.part + extra.commit)
        assert (await kit.storage.stat("/u")).size == size

    @case("R19", needs=("get_range", *_PROXIED))
    async def test_only_what_was_asked_for_is_transferred(self, kit: Kit) -> None:
        data = kit.random_bytes(32 * MIB)
        size = len(data)
        await kit.seed("/a", data)
        proxy, storage = await kit.proxied()
        await storage.check()

        async def read(expected: bytes, **options: Any) -> None:
            async with await storage.reader("/a", **options) as reader:
                assert await reader.read() == expected

        asked: list[tuple[dict[str, Any], slice]] = [
            ({"offset": 0, "length": 1}, slice(0, 1)),
            ({"offset": 1000, "length": 5000}, slice(1000, 6000)),
            ({"offset": size - 10}, slice(size - 10, size)),
            ({"suffix": 300}, slice(size - 300, size)),
            ({"offset": size}, slice(0, 0)),
        ]
        for options, where in asked:
            expected = data[where]
            moved = await bytes_of(proxy, read(expected, **options))
            assert moved <= len(expected) + SLACK_BYTES, f"{options}: {moved} bytes"
        ranges = [(10, 100), (size // 2, 1000), (5, 7)]
        moved = await bytes_of(proxy, storage.read_ranges("/a", ranges))
        assert moved <= sum(length for _, length in ranges) + SLACK_BYTES

        async def stop_early(**options: Any) -> None:
            async with await storage.reader("/a", **options) as reader:
                async for chunk in reader:
                    assert data.startswith(chunk)
                    return

        # Some is on its way when the caller stops; most of it never comes.
        assert await bytes_of(proxy, stop_early()) <= size // 4
        if kit.capabilities.get_with_conditions:
            moved = await bytes_of(proxy, stop_early(concurrency=2, chunk_size=MIB))
            assert moved <= size // 4
        assert await storage.get_content("/a") == data

    @case("R22", needs=("get_range", *_PROXIED))
    async def test_server_that_ignores_ranges_gives_no_wrong_bytes(self, kit: Kit) -> None:
        data = kit.random_bytes(100_000)
        await kit.seed("/a", data)
        proxy = await kit.proxy()
        storage = await kit.open(kit.harness.proxied_driver(proxy.url))
        asked: list[tuple[dict[str, Any], bytes]] = [
            ({"offset": 10}, data[10:]),
            ({"offset": 0, "length": 10}, data[:10]),
            ({"offset": 99_990, "length": 10}, data[-10:]),
            ({"suffix": 10}, data[-10:]),
        ]
        if kit.capabilities.get_with_conditions:
            asked.append(({"concurrency": 3, "chunk_size": 30_000}, data))
        async with proxy.faults(Fault(action="ignore_range", method="GET", times=None)):
            assert await storage.get_content("/a") == data
            for options, expected in asked:
                await proxy.forget()
                try:
                    async with await storage.reader("/a", **options) as reader:
                        got = await reader.read()
                except StorageDriverError:
                    pass
                else:
                    assert got == expected, options
                assert any(entry.status == 200 for entry in await proxy.log()), "no range was asked"
        assert await storage.get_content("/a") == data
