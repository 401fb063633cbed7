"""Uploads that nobody ends, and copies between storages: P01 to P05."""

from __future__ import annotations

import asyncio
import datetime as clock
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from storagedriver_core import (
    Buffer,
    ByteStream,
    ChecksumMismatchError,
    DriverMiddleware,
    Part,
    ReadOptions,
    Storage,
    StorageDriver,
    TransferReport,
    UnavailableError,
    Upload,
    UploadInfo,
    UploadNotFoundError,
    UploadOptions,
    transfer,
)
from storagedriver_testsuite._case import case
from storagedriver_testsuite._kit import PART, Kit
from storagedriver_testsuite._suite import CaseGroup
from storagedriver_testsuite.cases._support import Recorder
from storagedriver_testsuite.cases.writers import assert_unpublished, suspended

NO_AGE = timedelta(0)
HOUR = timedelta(hours=1)
MANY_UPLOADS = 1001


class StoppedClock(DriverMiddleware):
    """Says that it is a given time at the store."""

    def __init__(self, driver: StorageDriver, now: datetime) -> None:
        super().__init__(driver)
        self._now = now

    async def now(self) -> datetime:
        """Give that time."""
        return self._now


class DamagesParts(DriverMiddleware):
    """Stores zeros in place of the bytes that come."""

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Store zeros."""
        zeros = bytes(sum(len(chunk) for chunk in data))
        return await super().put_part(upload, number, offset, [zeros])


class BreaksAfter(DriverMiddleware):
    """Takes parts until there are too many bytes."""

    def __init__(self, driver: StorageDriver, most: int) -> None:
        super().__init__(driver)
        self._left = most

    async def put_part(
        self, upload: Upload, number: int, offset: int, data: Sequence[Buffer]
    ) -> Part:
        """Store a part, or fail."""
        self._left -= sum(len(chunk) for chunk in data)
        if self._left < 0:
            raise UnavailableError(temporary=False)
        return await super().put_part(upload, number, offset, data)


class SmallChunks(DriverMiddleware):
    """Gives what is read in chunks of half a part at most."""

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        """Cut the stream's chunks."""
        return _CutStream(await super().open_reader(path, options))


class _CutStream(ByteStream):
    def __init__(self, stream: ByteStream) -> None:
        self.info = stream.info
        self._stream = stream
        self._chunk = b""

    async def next_chunk(self) -> bytes:
        self._chunk = self._chunk or await self._stream.next_chunk()
        cut, self._chunk = self._chunk[: PART // 2], self._chunk[PART // 2 :]
        return cut

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def wrong_clock(shift: timedelta) -> Iterator[None]:
    """Let this process's clock be wrong for all that is written in Python."""
    right_time, right_datetime = time.time, datetime

    class WrongDatetime(datetime):
        @classmethod
        def now(cls, tz: clock.tzinfo | None = None) -> datetime:  # type: ignore[override]  # wrong on purpose
            """Give the wrong time."""
            return right_datetime.now(tz) + shift

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right_time() + shift.total_seconds())
        for name, module in list(sys.modules.items()):
            if name.startswith("storagedriver") and vars(module).get("datetime") is datetime:
                patch.setattr(module, "datetime", WrongDatetime)
        yield


async def uploads_of(storage: Storage) -> dict[str, UploadInfo]:
    """Give every upload in progress by the path that it is for."""
    return {info.upload.path: info async for info in storage.list_uploads()}


def paths_of(purged: Sequence[UploadInfo]) -> list[str]:
    """Give the paths of purged uploads, in order."""
    return sorted(info.upload.path for info in purged)


class PurgeCases(CaseGroup):
    """Uploads that nobody ends, and copies between storages."""

    @case("P01", needs=("upload", "list_uploads"))
    async def test_old_uploads_are_aborted_with_all_that_they_hold(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        paths = ["/a/x", "/a/y", "/b"]
        tokens = [await suspended(storage, path, bytes(PART * 3 // 2)) for path in paths]
        assert sorted(await uploads_of(storage)) == paths
        purged = await storage.purge_uploads(older_than=NO_AGE)
        assert paths_of(purged) == paths
        assert await uploads_of(storage) == {}
        assert not await kit.harness.raw_uploads()
        if storage.capabilities.abort_frees:
            assert not await kit.harness.raw_list()
        for token in tokens:
            with pytest.raises(UploadNotFoundError):
                await storage.resume(token)

    @case("P02", needs=("upload", "list_uploads"))
    async def test_purge_takes_what_is_older_and_never_an_active_one(self, kit: Kit) -> None:
        storage = await kit.open_parts()
        older, newer = "/a/older", "/a/newer"
        part = bytes(storage.capabilities.min_part_size)
        await suspended(storage, older, part)
        token = await suspended(storage, newer, part)
        writer = await storage.writer("/a/active")
        await writer.write(bytes(PART * 3 // 2))
        found = await uploads_of(storage)
        assert set(found) == {older, newer, "/a/active"}
        for info in found.values():
            assert info.started_at <= info.updated_at
            assert info.started_at.tzinfo is not None

        assert await storage.purge_uploads(older_than=HOUR) == []

        # The limit lies exactly where the older one was changed last.
        limit = found[older].updated_at
        purger = await kit.open_parts(StoppedClock(kit.wrapped_driver(), limit + HOUR))
        old = {path for path, info in found.items() if info.updated_at <= limit and not info.active}
        assert older in old
        assert await purger.purge_uploads(older_than=HOUR + timedelta(microseconds=1)) == []
        assert set(paths_of(await purger.purge_uploads(older_than=HOUR, dry_run=True))) == old
        assert set(await uploads_of(storage)) == set(found)
        assert set(paths_of(await purger.purge_uploads(older_than=HOUR))) == old
        assert set(await uploads_of(storage)) == set(found) - old

        if newer not in old:
            await (await storage.resume(token)).cancel()
        if found["/a/active"].active:
            # However old it may be.
            assert await storage.purge_uploads(older_than=NO_AGE) == []
            await writer.commit()
            assert (await storage.stat("/a/active")).size == PART * 3 // 2
        await writer.aclose()
        await self._check_two_purgers(kit)

    @staticmethod
    async def _check_two_purgers(kit: Kit) -> None:
        paths = [f"/a/{number}" for number in range(10)]
        for path in paths:
            await suspended(kit.storage, path, b"abc")
        other = await kit.open()
        both = await asyncio.gather(
            kit.storage.purge_uploads(older_than=NO_AGE), other.purge_uploads(older_than=NO_AGE)
        )
        purged = paths_of([*both[0], *both[1]])
        assert sorted({*purged}) == paths
        # A service may answer two aborts at once alike: the upload is gone, whoever did it.
        assert purged == paths or kit.harness.is_remote
        assert not await kit.harness.raw_uploads()

    @case("P03", needs=("upload", "list_uploads"))
    async def test_age_is_by_the_clock_of_the_store(self, kit: Kit) -> None:
        for shift in (timedelta(days=400), timedelta(days=-400)):
            storage = await kit.open_parts()
            token = await suspended(storage, "/a/x", bytes(PART * 3 // 2))
            with wrong_clock(shift):
                assert await storage.purge_uploads(older_than=HOUR) == []
                writer = await storage.resume(token)
                assert writer.offset == PART * 3 // 2
                await writer.suspend()
                assert len(await storage.purge_uploads(older_than=NO_AGE)) == 1

    @case("P04", needs=("upload", "list_uploads"))
    async def test_uploads_without_a_token_are_found_beyond_one_page(self, kit: Kit) -> None:
        driver = kit.wrapped_driver()
        storage = await kit.open(driver)
        paths = sorted(f"/a/{number % 300}" for number in range(MANY_UPLOADS))
        left = iter(paths)

        async def open_some() -> None:
            for path in left:
                driver.release_upload(await driver.open_upload(path, "holder", UploadOptions()))

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(open_some())
        assert sorted([info.upload.path async for info in storage.list_uploads()]) == paths
        assert paths_of(await storage.purge_uploads(older_than=NO_AGE)) == paths
        assert not await kit.harness.raw_uploads()

    @case("P05", needs=("upload", "get_range"))
    async def test_copy_between_storages_is_verified_resumed_and_done_once(self, kit: Kit) -> None:
        part = max(PART, kit.capabilities.min_part_size)
        data = kit.random_bytes(part * 13 // 2)
        content_type, metadata = None, None
        if kit.capabilities.put_with_metadata:
            content_type, metadata = "text/x-odd", {"colour": "red"}
        await kit.storage.put_content("/from", data, content_type=content_type, metadata=metadata)
        source = await kit.open(SmallChunks(kit.wrapped_driver()))

        # It breaks in the middle, and goes on from the last state that was handed out. One part
        # after the other: else all may be on their way when it breaks, and none be promised.
        breaking = BreaksAfter(kit.harness.driver(), part * 5)
        target = await kit.open_parts(kit.wrapped_driver(breaking), upload_out_of_order=False)
        states: list[str] = []
        with pytest.raises(UnavailableError):
            await self._copy(source, target, states, part)
        await assert_unpublished(target, "/to")
        recorder = Recorder(kit.harness.driver())
        target = await kit.open_parts(kit.wrapped_driver(recorder))
        report = await self._copy(source, target, [], part, state=states[-1])
        assert 0 < report.copied < len(data)
        assert await kit.peek("/to") == data
        info = await target.stat("/to")
        assert info.content_type == content_type
        assert dict(info.metadata or {}) == (metadata or {})

        # A second time there is nothing to do.
        recorder.calls.clear()
        report = await self._copy(source, target, [], part)
        assert (report.copied, report.unchanged) == (0, True)
        assert not {"open_upload", "put_part", "put_content"} & {*recorder.calls}

        # What arrives damaged is noticed.
        await target.delete("/to")
        damaging = await kit.open_parts(kit.wrapped_driver(DamagesParts(kit.harness.driver())))
        with pytest.raises(ChecksumMismatchError):
            await transfer(source, "/from", damaging, "/to")

    @staticmethod
    async def _copy(
        source: Storage, target: Storage, states: list[str], part: int, state: str | None = None
    ) -> TransferReport:
        return await transfer(
            source,
            "/from",
            target,
            "/to",
            state=state,
            on_state=states.append,
            checkpoint_bytes=part,
        )
