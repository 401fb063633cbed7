"""Stat: T01 to T11."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest

from storagedriver_core import ConfigurationError, ConflictError, PathNotFoundError
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import conditions_of

SKEW = timedelta(minutes=15)
CLOCK_TICK_SECONDS = 2.0


class StatCases(CaseGroup):
    """What is known of a file or directory."""

    @case("T01")
    async def test_file_has_size_and_path_and_time(self, kit: Kit) -> None:
        for path, size in [("/a", 0), ("/b.d/c", 1), ("/b.d/d", 100_000)]:
            await kit.seed(path, kit.random_bytes(size))
            info = await kit.storage.stat(path)
            assert (info.path, info.size, info.is_dir) == (path, size, False)
            assert info.mod_time is not None
            assert info.mod_time.utcoffset() == timedelta(0)

    @case("T02")
    async def test_directory_has_neither_size_nor_time(self, kit: Kit) -> None:
        await kit.seed("/a/b", b"content")
        info = await kit.storage.stat("/a")
        assert (info.path, info.size, info.is_dir, info.mod_time) == ("/a", 0, True, None)

    @case("T03")
    async def test_nothing_there_is_not_found(self, kit: Kit) -> None:
        await kit.seed("/a/b", b"")
        for path in ["/b", "/a/c", "/a/b/c", "/a/b/c/d", "/A"]:
            if path == "/A" and not kit.storage.capabilities.case_sensitive:
                continue
            with pytest.raises(PathNotFoundError) as missing:
                await kit.storage.stat(path)
            assert missing.value.path == path

    @case("T04")
    async def test_time_is_sane_and_later_after_a_replacement(self, kit: Kit) -> None:
        driver = kit.wrapped_driver()
        storage = await kit.open(driver)
        before = await driver.now()
        await storage.put_content("/a", b"first")
        first = await storage.stat("/a")
        after = await driver.now()
        # A store may keep whole seconds.
        second = timedelta(seconds=1)
        assert first.mod_time is not None
        assert before - second <= first.mod_time <= after + second
        deadline = time.monotonic() + CLOCK_TICK_SECONDS
        number = 0
        while True:
            number += 1
            await storage.put_content("/a", b"again %d" % number)
            again = await storage.stat("/a")
            assert again.mod_time is not None
            assert again.mod_time >= first.mod_time
            if first.etag is not None:
                assert again.etag != first.etag
            if again.mod_time > first.mod_time:
                break
            assert time.monotonic() < deadline, "the time of a replaced file never changes"
            await asyncio.sleep(0.01)

    @case("T05")
    async def test_every_parent_of_a_deep_file_is_a_directory(self, kit: Kit) -> None:
        await kit.seed("/a/b.c/d/e-f/g", b"")
        for path in ["/a", "/a/b.c", "/a/b.c/d", "/a/b.c/d/e-f"]:
            info = await kit.storage.stat(path)
            assert (info.path, info.is_dir) == (path, True)
        assert not (await kit.storage.stat("/a/b.c/d/e-f/g")).is_dir

    @case("T06", needs=("get_with_conditions",))
    async def test_stat_whose_conditions_do_not_hold_is_a_conflict(self, kit: Kit) -> None:
        old = await kit.storage.put_content("/a", b"old")
        await kit.storage.put_content("/a", b"new")
        info = await kit.storage.stat("/a")
        assert old.etag is not None
        holding, failing = conditions_of(info, old.etag)
        for conditions in holding:
            assert await kit.storage.stat("/a", conditions=conditions) == info
        for conditions in failing:
            with pytest.raises(ConflictError):
                await kit.storage.stat("/a", conditions=conditions)
        with pytest.raises(PathNotFoundError):
            await kit.storage.stat("/missing", conditions=holding[0])

    @case("T07", needs=("harness.missing_driver",))
    async def test_check_tells_whether_the_store_is_there(self, kit: Kit) -> None:
        await kit.storage.check()
        missing = kit.unopened(kit.wrapped_driver(kit.harness.missing_driver()))
        with pytest.raises(ConfigurationError):
            async with missing:
                await missing.check()

    @case("T08")
    async def test_as_many_bytes_as_stat_says_can_be_read_at_once(self, kit: Kit) -> None:
        other = await kit.open()
        for size in [1, 0, 70_000, 1, 300_000]:
            data = kit.random_bytes(size)
            await kit.storage.put_content("/a", data)
            for storage in [kit.storage, other]:
                assert (await storage.stat("/a")).size == len(await storage.get_content("/a"))
            if kit.storage.capabilities.upload:
                async with await kit.storage.writer("/a") as writer:
                    await writer.write(data * 2)
                    # Not before the commit.
                    assert (await other.stat("/a")).size == len(await other.get_content("/a"))
                    await writer.commit()
                assert (await other.stat("/a")).size == len(await other.get_content("/a"))
            listed = [info async for info in other.list("/")]
            async with await other.reader("/a") as reader:
                assert listed[0].size == reader.info.size == len(await reader.read())

    @case("T09")
    async def test_name_is_not_found_when_only_a_longer_one_is_there(self, kit: Kit) -> None:
        await kit.seed("/ab/cd/x", b"")
        for path in ["/ab/c", "/a", "/ab/c/x", "/ab/cd/xy"]:
            with pytest.raises(PathNotFoundError):
                await kit.storage.stat(path)
        assert (await kit.storage.stat("/ab/cd")).is_dir

    @case("T10")
    async def test_names_before_the_slash_make_no_directory_and_hide_none(self, kit: Kit) -> None:
        names = ["/ab/c-x", "/ab/c.x", "/ab/c-/y"]
        if kit.storage.capabilities.path_alphabet != "portable":
            names += ["/ab/c,x", "/ab/c!", "/ab/c x/y"]
        await kit.seed_many(dict.fromkeys(names, b""))
        with pytest.raises(PathNotFoundError):
            await kit.storage.stat("/ab/c")
        await kit.seed("/ab/c/x", b"")
        assert (await kit.storage.stat("/ab/c")).is_dir

    @case("T11")
    async def test_time_is_not_that_of_the_client(self, kit: Kit) -> None:
        now = datetime.now(UTC)
        wrong = time.time() - SKEW.total_seconds()
        for skewed in [wrong, wrong + 2 * SKEW.total_seconds()]:
            with (
                mock.patch("time.time", return_value=skewed),
                mock.patch("time.time_ns", return_value=int(skewed * 1e9)),
            ):
                await kit.storage.put_content("/a", b"content")
                infos = [await kit.storage.stat("/a")]
                infos += [info async for info in kit.storage.list("/")]
                if kit.storage.capabilities.upload:
                    async with await kit.storage.writer("/a") as writer:
                        await writer.write(b"content")
                        committed = await writer.commit()
                    infos.append(await kit.storage.stat("/a"))
                    # As C19 says, a commit need not tell what takes another request to know.
                    if committed.mod_time is not None:
                        infos.append(committed)
            for info in infos:
                assert info.mod_time is not None
                assert info.mod_time.utcoffset() == timedelta(0)
                assert abs(info.mod_time - now) < SKEW / 3
