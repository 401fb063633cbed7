"""The writer's state machine, where the shared suite cannot look."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver, Store

from storagedriver_core import (
    AlreadyExistsError,
    ChecksumMismatchError,
    ClosedError,
    ConfigurationError,
    ConflictError,
    PathNotFoundError,
    PutOptions,
    Storage,
    StorageDriver,
    UnavailableError,
    UnsupportedMethodError,
    UploadToken,
    WriterState,
)
from storagedriver_core.tests.faults import Faults, Gate, settle

PART = 16
PARTS = {"min_part_size": PART, "max_parts": 100}
DATA = bytes(range(200))


def on(
    work: Callable[[Storage], Awaitable[None]],
    driver: StorageDriver | None = None,
    **narrow: Any,
) -> None:
    """Run `work` with a storage whose uploads are made of parts of 16 bytes."""

    async def run() -> None:
        storage = Storage(driver or InMemoryDriver(), narrow={**PARTS, **narrow}, part_size=PART)
        async with storage:
            await work(storage)

    asyncio.run(run())


async def suspended(storage: Storage, size: int) -> UploadToken:
    writer = await storage.writer("/a")
    await writer.write(DATA[:size])
    return await writer.suspend()


async def finish(storage: Storage, token: UploadToken | str) -> None:
    """Resume, write what is missing of `DATA`, and commit it."""
    writer = await storage.resume(token)
    await writer.write(DATA[writer.offset :])
    await writer.commit(size=len(DATA), digest=f"sha256:{hashlib.sha256(DATA).hexdigest()}")
    assert await storage.get_content("/a") == DATA


# Tokens ----------------------------------------------------------------------------------------


def test_older_token_still_resumes_when_a_newer_one_was_lost() -> None:
    async def work(storage: Storage) -> None:
        kept = await suspended(storage, 20)
        token = kept
        for end in (25, 30, 40):
            writer = await storage.resume(token)
            await writer.write(DATA[writer.offset : end])
            token = await writer.suspend()
        # The process dies before it has kept any of these tokens.
        assert kept.offset == 20
        await finish(storage, kept.to_json())

    on(work)


def test_tail_of_a_dispossessed_writer_does_not_replace_the_tail_of_the_other() -> None:
    async def work(storage: Storage) -> None:
        start = await suspended(storage, 0)
        first, second = await storage.resume(start), await storage.resume(start)
        await second.write(DATA[:10])
        token = await second.suspend()
        # It has sent no part yet, so nobody has told it that it was dispossessed.
        await first.write(b"x" * 10)
        await first.suspend()
        await finish(storage, token)

    on(work)


def test_token_after_a_resumption_does_not_name_the_tail_that_became_a_part() -> None:
    async def work(storage: Storage) -> None:
        writer = await storage.resume(await suspended(storage, PART + 5))
        await writer.write(DATA[writer.offset : 2 * PART])
        token = await writer.suspend()
        assert (token.tail, len(token.parts)) == ("", 2)
        await finish(storage, token)

    on(work)


def test_token_of_a_suspended_writer_can_be_asked_for_again() -> None:
    async def work(storage: Storage) -> None:
        writer = await storage.writer("/a")
        await writer.write(DATA[:20])
        token = await writer.suspend()
        assert writer.token().to_json() == token.to_json()
        assert token.upload.holder == ""
        with pytest.raises(ClosedError):
            await writer.suspend()
        await finish(storage, token)

    on(work)


@pytest.mark.parametrize("operation", ["put_part", "put_content"])
def test_failed_suspension_leaves_the_writer_open_with_its_older_token(operation: str) -> None:
    driver = Faults(InMemoryDriver())

    async def work(storage: Storage) -> None:
        writer = await storage.resume(await suspended(storage, 20))
        await writer.write(DATA[20:38])
        driver.fail(operation)
        with pytest.raises(UnavailableError) as failed:
            await writer.suspend()
        assert failed.value.operation == "suspend"
        assert writer.state is WriterState.OPEN
        token = writer.token()
        await writer.aclose()
        await finish(storage, token.to_json())

    on(work, driver)


def test_suspension_that_was_cancelled_can_be_repeated() -> None:
    class Waits(Faults):
        async def put_content(self, path: str, data: Any, options: PutOptions) -> Any:
            if not waited.is_set():
                waited.set()
                await asyncio.Event().wait()
            return await super().put_content(path, data, options)

    waited = asyncio.Event()

    async def work(storage: Storage) -> None:
        writer = await storage.writer("/a")
        await writer.write(DATA[:20])
        task = asyncio.create_task(writer.suspend())
        await waited.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await writer.write(DATA[20:25])
        await finish(storage, await writer.suspend())

    on(work, Waits(InMemoryDriver()))


def test_token_of_uploads_with_parts_is_refused_where_there_are_none() -> None:
    store = Store()

    async def work(storage: Storage) -> None:
        token = await suspended(storage, 20)
        async with Storage(InMemoryDriver(store=store)) as without_parts:
            with pytest.raises(ConfigurationError):
                await without_parts.resume(token)
            writer = await without_parts.writer("/b")
            await writer.write(DATA)
            other = await writer.suspend()
        with pytest.raises(ConfigurationError):
            await storage.resume(other)

    on(work, InMemoryDriver(store=store))


# Commit ----------------------------------------------------------------------------------------


def test_refused_commit_leaves_no_short_part_in_the_middle() -> None:
    sizes: list[int] = []

    class Records(Faults):
        async def complete_upload(self, upload: Any, parts: Any, options: Any) -> Any:
            info = await super().complete_upload(upload, parts, options)
            sizes.extend(part.size for part in parts)
            return info

    async def work(storage: Storage) -> None:
        await storage.put_content("/a", b"old")
        async with await storage.writer("/a") as writer:
            await writer.write(DATA[:20])
            with pytest.raises(ChecksumMismatchError):
                await writer.commit(digest="sha256:0")
            with pytest.raises(AlreadyExistsError):
                await writer.commit(if_absent=True)
            assert await storage.get_content("/a") == b"old"
            await writer.write(DATA[20:50])
            await writer.commit()
        assert await storage.get_content("/a") == DATA[:50]
        assert sizes == [16, 16, 16, 2]

    on(work, Records(InMemoryDriver()))


def test_commit_whose_reply_was_lost_is_repeated() -> None:
    driver = Faults(InMemoryDriver())

    async def work(storage: Storage) -> None:
        async with await storage.writer("/a") as writer:
            await writer.write(DATA)
            driver.fail("complete_upload", when="after")
            with pytest.raises(UnavailableError):
                await writer.commit()
            assert (await writer.commit()).size == len(DATA)

    on(work, driver)


def test_empty_commit_is_fenced_like_any_other() -> None:
    async def work(storage: Storage) -> None:
        token = await suspended(storage, 0)
        first, second = await storage.resume(token), await storage.resume(token)
        with pytest.raises(ConflictError):
            await first.commit()
        await first.aclose()
        assert (await second.commit()).size == 0

    on(work)


def test_sidecars_that_cannot_be_deleted_do_not_undo_the_commit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver = Faults(InMemoryDriver())

    async def work(storage: Storage) -> None:
        writer = await storage.resume(await suspended(storage, 20))
        driver.fail("delete")
        with caplog.at_level(logging.WARNING):
            await writer.commit()
        assert "left to the purge" in caplog.text
        assert await storage.get_content("/a") == DATA[:20]

    on(work, driver)


def test_digest_that_nobody_can_compute_is_refused_before_publishing() -> None:
    async def work(storage: Storage) -> None:
        async with await storage.writer("/a") as writer:
            await writer.write(DATA)
            for digest in ("rot13:abc", "abc", "shake_128:00"):
                with pytest.raises(UnsupportedMethodError):
                    await writer.commit(digest=digest)
            with pytest.raises(PathNotFoundError):
                await storage.stat("/a")

    on(work)


def test_digest_that_was_not_computed_on_the_way_is_read_back() -> None:
    async def work(storage: Storage) -> None:
        for data, name in ((DATA, "/right"), (b"", "/wrong")):
            async with await storage.writer(name, hashes=()) as writer:
                await writer.write(DATA)
                digest = hashlib.sha512(data).hexdigest()
                if name == "/right":
                    await writer.commit(digest=f"sha512:{digest}")
                    assert writer.digests == {"sha512": digest}
                else:
                    with pytest.raises(ChecksumMismatchError):
                        await writer.commit(digest=f"sha512:{digest}")
        assert [info.path async for info in storage.walk("/")] == ["/right"]

    on(work)


class TestWithoutLateTarget:
    """Stores that publish where the upload was opened."""

    def test_commit_elsewhere_moves(self) -> None:
        async def work(storage: Storage) -> None:
            async with await storage.writer("/up") as writer:
                await writer.write(DATA)
                info = await writer.commit(to="/a")
            assert (info.path, info.size) == ("/a", len(DATA))
            assert [info.path async for info in storage.walk("/")] == ["/a"]

        on(work, late_target=False)

    def test_commit_elsewhere_that_is_refused_shows_nowhere(self) -> None:
        async def work(storage: Storage) -> None:
            await storage.put_content("/a", b"old")
            async with await storage.writer("/up") as writer:
                await writer.write(DATA)
                with pytest.raises(AlreadyExistsError):
                    await writer.commit(to="/a", if_absent=True)
            assert [info.path async for info in storage.walk("/")] == ["/a"]
            assert await storage.get_content("/a") == b"old"

        on(work, late_target=False)

    def test_create_only_commit_elsewhere_needs_create_only_moves(self) -> None:
        async def work(storage: Storage) -> None:
            async with await storage.writer("/up") as writer:
                await writer.write(DATA)
                with pytest.raises(UnsupportedMethodError):
                    await writer.commit(to="/a", if_absent=True)
                assert [info.path async for info in storage.walk("/")] == []

        on(work, late_target=False, move_if_absent=False)

    def test_digest_to_read_back_is_refused_at_the_path_itself(self) -> None:
        async def work(storage: Storage) -> None:
            await storage.put_content("/a", b"old")
            md5 = f"md5:{hashlib.md5(DATA).hexdigest()}"
            async with await storage.writer("/a", hashes=()) as writer:
                await writer.write(DATA)
                with pytest.raises(UnsupportedMethodError) as refused:
                    await writer.commit(digest=md5)
                assert refused.value.capability == "late_target"
                assert await storage.get_content("/a") == b"old"

        on(work, late_target=False)


def test_upload_found_committed_is_moved_where_the_commit_asks() -> None:
    async def work(storage: Storage) -> None:
        token = await suspended(storage, 20)
        await finish(storage, token)
        writer = await storage.resume(token)
        # Known are the bytes of the object, not only those of the token.
        assert writer.offset == writer.durable_offset == len(DATA)
        assert writer.token().to_json() == token.to_json()
        with pytest.raises(ClosedError):
            await writer.write(b"more")
        await writer.write(b"")
        with pytest.raises(ChecksumMismatchError):
            await writer.commit(size=20)
        with pytest.raises(ChecksumMismatchError):
            await writer.commit(digest=f"sha256:{hashlib.sha256(DATA[:20]).hexdigest()}")
        assert await storage.get_content("/a") == DATA
        info = await writer.commit(to="/b", size=len(DATA))
        # The digest of the token's bytes is not the object's.
        assert writer.digests == {}
        assert info.path == "/b"
        assert [info.path async for info in storage.walk("/")] == ["/b"]

    on(work)


def test_refused_commit_elsewhere_keeps_what_was_committed_before() -> None:
    async def work(storage: Storage) -> None:
        token = await suspended(storage, 20)
        await finish(storage, token)
        await storage.put_content("/b", b"other")
        async with await storage.resume(token) as writer:
            with pytest.raises(AlreadyExistsError):
                await writer.commit(to="/b", if_absent=True)
        assert await storage.get_content("/a") == DATA
        assert await storage.get_content("/b") == b"other"

    on(work)


# Life ------------------------------------------------------------------------------------------


def test_writer_ends_with_its_storage(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()

    async def run() -> None:
        async with Storage(InMemoryDriver(store=store)) as storage:
            writer = await storage.writer("/a")
            await writer.write(DATA)
        for call in (writer.write(b"x"), writer.suspend(), writer.commit(), writer.cancel()):
            with pytest.raises(ClosedError) as refused:
                await call
            assert refused.value.path == "/a"
        with caplog.at_level(logging.WARNING):
            await writer.aclose()
        assert "left to the purge" in caplog.text

    asyncio.run(run())
    assert len(store.uploads()) == 1


def test_aclose_that_is_cancelled_cancels_the_upload_all_the_same() -> None:
    store = Store()

    class Slow(Faults):
        async def abort_upload(self, upload: Any) -> None:
            aborting.set()
            await asyncio.sleep(0.01)
            await super().abort_upload(upload)

    aborting = asyncio.Event()

    async def work(storage: Storage) -> None:
        writer = await storage.writer("/a")
        task = asyncio.create_task(writer.aclose())
        await aborting.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.uploads() == []

    on(work, Slow(InMemoryDriver(store=store)))


@pytest.mark.parametrize("end", ["wrong digest", "cancel", "aclose"])
@pytest.mark.parametrize("hangs", [False, True])
def test_upload_is_dropped_after_what_was_sent_has_arrived_but_for_a_hung_store(
    end: str, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A store may write a part that was cancelled, once it has all of it.
    happened: list[str] = []

    class Slow(Faults):
        async def put_part(self, *args: Any) -> Any:
            happened.append("sent")
            await (asyncio.Event().wait() if hangs else asyncio.sleep(0.01))
            part = await super().put_part(*args)
            happened.append("arrived")
            return part

        async def abort_upload(self, upload: Any) -> None:
            happened.append("dropped")
            await super().abort_upload(upload)

    async def work(storage: Storage) -> None:
        writer = await storage.writer("/a", hashes=("sha256",))
        await writer.write(DATA[: 2 * PART])
        await asyncio.sleep(0)
        if end == "wrong digest":
            with pytest.raises(ChecksumMismatchError):
                await writer.commit(digest=f"sha256:{'0' * 64}")
        await (writer.cancel() if end == "cancel" else writer.aclose())

    if hangs:
        monkeypatch.setattr("storagedriver_core._writer._PATIENCE_SECONDS", 0.01)
    on(work, Slow(InMemoryDriver()))
    assert happened == ["sent", "sent", *([] if hangs else ["arrived", "arrived"]), "dropped"]


def test_cancel_that_is_cancelled_while_it_waits_for_parts_cancels_them() -> None:
    cancelled: list[int] = []

    class Hung(Faults):
        async def put_part(self, upload: Any, number: int, *args: Any) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

    async def work(storage: Storage) -> None:
        writer = await storage.writer("/a")
        await writer.write(DATA[: 2 * PART])
        task = asyncio.create_task(writer.cancel())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        assert sorted(cancelled) == [1, 2]
        await writer.aclose()

    on(work, Hung(InMemoryDriver()))


@pytest.mark.parametrize("chunk", [32 * 1024, 1000 * 1000, 1024 * 1024, 5 * 1024 * 1024 + 1])
def test_what_is_sent_without_a_ledger_ends_where_a_mebibyte_does(chunk: int) -> None:
    mebibyte = 1024 * 1024
    driver = InMemoryDriver()
    parts: list[tuple[int, int]] = []

    class Sized(Faults):
        async def put_part(self, upload: Any, number: int, offset: int, data: Any) -> Any:
            size = sum(map(len, data))
            parts.append((offset, offset + size))
            return await super().put_part(upload, number, offset, data)

    async def work(storage: Storage) -> None:
        writer = await storage.writer("/a")
        await writer.write(b"x")  # the rest is by chunks that begin anywhere
        async with await storage.resume(await writer.suspend()) as writer:
            for _ in range(8 * mebibyte // chunk):
                await writer.write(b"y" * chunk)
            await writer.commit()
        assert len(await storage.get_content("/a")) == writer.offset

    async def run() -> None:
        async with Storage(Sized(driver)) as storage:
            await work(storage)

    asyncio.run(run())
    assert len(parts) > 1
    assert all(end % mebibyte == 0 for _, end in parts[1:-1])
    assert [start for start, _ in parts[1:]] == [end for _, end in parts[:-1]]
    largest = max(end - start for start, end in parts)
    assert (3 * mebibyte if chunk > 4 * mebibyte else 0) < largest <= 4 * mebibyte


def test_cancel_that_failed_can_be_repeated_but_nothing_else_goes_on() -> None:
    driver = Faults(InMemoryDriver())

    async def work(storage: Storage) -> None:
        writer = await storage.writer("/a")
        await writer.write(DATA)
        driver.fail("abort_upload")
        with pytest.raises(UnavailableError):
            await writer.cancel()
        # Parts that were on their way are gone.
        for call in (writer.write(b"x"), writer.suspend(), writer.commit()):
            with pytest.raises(ClosedError):
                await call
        await writer.cancel()
        assert writer.state is WriterState.CANCELLED

    on(work, driver)


def test_commit_elsewhere_spares_the_object_at_the_writers_own_path() -> None:
    async def main() -> None:
        driver = InMemoryDriver()
        async with Storage(driver, narrow={"late_target": False}) as storage:
            await storage.put_content("/a", b"there before")
            async with await storage.writer("/a") as writer:
                await writer.write(b"new")
                with pytest.raises(AlreadyExistsError):
                    await writer.commit(to="/b")
            assert await storage.get_content("/a") == b"there before"
            assert [info.path async for info in storage.walk("/")] == ["/a"]

    asyncio.run(main())


def test_writer_without_a_ledger_holds_two_gathered_pieces() -> None:
    mebibyte = bytes(1024 * 1024)

    async def run() -> None:
        gate = Gate(InMemoryDriver(), "put_part")
        async with Storage(gate) as storage, await storage.writer("/a", hashes=()) as writer:

            async def write() -> None:
                for _ in range(6):
                    await writer.write(mebibyte)

            writing = asyncio.create_task(write())
            await settle()
            assert (gate.inside, writer.offset) == (2, 2 * len(mebibyte))
            gate.gate.set()
            await writing
            await writer.commit()
            assert gate.most == 2
            assert await storage.get_content("/a") == 6 * mebibyte

    asyncio.run(run())
