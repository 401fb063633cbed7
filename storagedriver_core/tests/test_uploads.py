"""Resuming and purging, where the shared suite cannot look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver, Store

from storagedriver_core import (
    ConfigurationError,
    DriverMiddleware,
    Storage,
    StorageDriver,
    UnavailableError,
    Upload,
    UploadNotFoundError,
    UploadState,
)
from storagedriver_core.middleware.limit import LimitMiddleware, LimitParameters
from storagedriver_core.tests.faults import Faults, Gate, settle

PARTS = {"min_part_size": 16, "max_parts": 100}
DATA = bytes(range(100))
NOW, HOUR = timedelta(0), timedelta(hours=1)


def on(
    work: Callable[[Storage, Store], Awaitable[None]],
    wrap: Callable[[StorageDriver], StorageDriver] = lambda driver: driver,
) -> None:
    async def run() -> None:
        store = Store()
        driver = wrap(InMemoryDriver(store=store))
        async with Storage(driver, narrow=PARTS, part_size=16) as storage:
            await work(storage, store)

    asyncio.run(run())


async def suspended(storage: Storage, path: str = "/a") -> str:
    writer = await storage.writer(path)
    await writer.write(DATA[:20])
    return (await writer.suspend()).to_json()


def tails(store: Store) -> list[str]:
    return [path for path in store.paths() if path.startswith("/.storagedriver/tails/")]


class ResumedBeforeTheAbort(DriverMiddleware):
    """Another writer resumes the upload between the listing and the abort."""

    async def abort_upload(self, upload: Upload) -> None:
        await self.upload_state(Upload(upload.path, upload.upload_id, holder="other"), 16)
        await super().abort_upload(upload)


def test_purge_keeps_the_tail_of_an_upload_that_is_resumed_under_its_hands() -> None:
    async def work(storage: Storage, store: Store) -> None:
        token = await suspended(storage)
        assert await storage.purge_uploads(older_than=NOW) == []
        assert len(tails(store)) == 1
        writer = await storage.resume(token)
        await writer.write(DATA[20:])
        await writer.commit()
        assert await storage.get_content("/a") == DATA

    on(work, ResumedBeforeTheAbort)


def test_purge_deletes_tails_without_an_upload_when_they_are_old() -> None:
    async def work(storage: Storage, store: Store) -> None:
        kept = await suspended(storage)
        await suspended(storage, "/lost")
        [lost] = [key for key, upload in store.uploads() if upload.path == "/lost"]
        store.abort_upload(lost, "anyone")
        assert len(tails(store)) == 2
        await storage.purge_uploads(older_than=HOUR)
        await storage.purge_uploads(older_than=NOW, dry_run=True)
        assert len(tails(store)) == 2
        writer = await storage.resume(kept)
        await storage.purge_uploads(older_than=NOW)
        assert len(tails(store)) == 1
        await writer.cancel()
        assert tails(store) == []

    on(work)


def test_nothing_is_as_old_as_an_age_before_all_dates() -> None:
    async def work(storage: Storage, store: Store) -> None:
        await suspended(storage)
        assert await storage.purge_uploads(older_than=timedelta.max) == []
        assert len(await storage.purge_uploads(older_than=timedelta.min)) == 1

    on(work)


def test_young_tail_keeps_an_upload_whose_parts_are_old() -> None:
    async def work(storage: Storage, store: Store) -> None:
        await suspended(storage)
        for _, upload in store.uploads():
            upload.updated_at -= 2 * HOUR
        assert await storage.purge_uploads(older_than=HOUR) == []
        assert len(await storage.purge_uploads(older_than=NOW)) == 1

    on(work)


@pytest.mark.parametrize(("concurrency", "expected"), [(64, 16), (3, 3)])
def test_purge_aborts_several_at_once_as_far_as_the_limit_allows(
    concurrency: int, expected: int
) -> None:
    gates: list[Gate] = []

    def wrap(driver: StorageDriver) -> StorageDriver:
        gates.append(Gate(driver, "abort_upload"))
        return LimitMiddleware(gates[0], LimitParameters(concurrency=concurrency))

    async def work(storage: Storage, store: Store) -> None:
        [gate] = gates
        paths = [f"/{number:02}" for number in range(40)]
        for path in paths:
            await suspended(storage, path)
        purge = asyncio.create_task(storage.purge_uploads(older_than=NOW))
        await gate.entered.wait()
        await settle()
        assert gate.inside == expected
        gate.gate.set()
        assert [info.upload.path for info in await purge] == paths
        assert gate.most == expected
        assert not list(store.uploads()) and not tails(store)

    on(work, wrap)


def test_purge_that_fails_begins_no_more_and_ends_what_it_has_begun() -> None:
    faults: list[Faults] = []

    def wrap(driver: StorageDriver) -> StorageDriver:
        faults.append(Faults(driver))
        return faults[0]

    async def work(storage: Storage, store: Store) -> None:
        for number in range(40):
            await suspended(storage, f"/{number}")
        [driver] = faults
        driver.fail("abort_upload")
        with pytest.raises(UnavailableError) as failed:
            await storage.purge_uploads(older_than=NOW)
        assert failed.value.operation == "purge_uploads"
        aborted = driver.calls.count("abort_upload") - 1
        assert aborted <= 15
        # Whatever was aborted has lost its tail as well.
        assert len(list(store.uploads())) == len(tails(store)) == 40 - aborted
        assert len(await storage.purge_uploads(older_than=NOW)) == 40 - aborted

    on(work, wrap)


def test_purge_of_an_upload_without_tails_deletes_nothing_else() -> None:
    faults: list[Faults] = []

    def wrap(driver: StorageDriver) -> StorageDriver:
        faults.append(Faults(driver))
        return faults[0]

    async def work(storage: Storage, store: Store) -> None:
        writer = await storage.writer("/a")
        await writer.write(DATA[:16])
        await writer.suspend()
        [driver] = faults
        driver.calls.clear()
        assert len(await storage.purge_uploads(older_than=NOW)) == 1
        assert driver.calls.count("abort_upload") == 1 and "delete" not in driver.calls

    on(work, wrap)


def test_store_that_has_lost_durable_bytes_is_noticed() -> None:
    class Loses(DriverMiddleware):
        async def upload_state(self, upload: Upload, size: int) -> UploadState:
            return UploadState((await super().upload_state(upload, size)).size - 1)

    async def work(storage: Storage, store: Store) -> None:
        with pytest.raises(UploadNotFoundError):
            await storage.resume(await suspended(storage))
        # And let go of.
        assert [upload.holder for _, upload in store.uploads()] == [""]

    on(work, Loses)


@pytest.mark.parametrize("damage", ["delete", "cut"])
def test_tail_that_is_gone_is_noticed(damage: str) -> None:
    async def work(storage: Storage, store: Store) -> None:
        token = await suspended(storage)
        [tail] = tails(store)
        store.delete(tail)
        if damage == "cut":
            store.put(tail, b"xyz")
        with pytest.raises(UploadNotFoundError):
            await storage.resume(token)

    on(work)


def test_token_reads_no_tail_but_its_own() -> None:
    async def work(storage: Storage, store: Store) -> None:
        await storage.put_content("/secret", b"1234")
        token = await suspended(storage)
        [tail] = tails(store)
        with pytest.raises(ConfigurationError):
            await storage.resume(token.replace(tail, "/secret"))

    on(work)


@pytest.mark.parametrize("thing", [None, b"{}", 7, {"v": 1}])
def test_what_is_no_token_is_named(thing: Any) -> None:
    async def work(storage: Storage, store: Store) -> None:
        with pytest.raises(TypeError, match=f"JSON as str, not {type(thing).__name__}$"):
            await storage.resume(thing)

    on(work)


def test_errors_of_a_listing_of_uploads_are_stamped() -> None:
    async def run() -> None:
        driver = Faults(InMemoryDriver())
        async with Storage(driver) as storage:
            driver.fail("list_uploads")
            with pytest.raises(UnavailableError) as failed:
                _: Sequence[object] = [info async for info in storage.list_uploads()]
        assert failed.value.operation == "list_uploads"

    asyncio.run(run())
