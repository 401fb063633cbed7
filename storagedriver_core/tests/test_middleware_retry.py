from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    AlreadyExistsError,
    Buffer,
    ByteStream,
    CompleteOptions,
    Conditions,
    ConflictError,
    FileInfo,
    ListOptions,
    OperationTimeoutError,
    PartialDeleteError,
    PathNotFoundError,
    PermissionDeniedError,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UploadNotFoundError,
    UploadOptions,
)
from storagedriver_core.middleware.retry import RetryMiddleware, RetryParameters
from storagedriver_core.tests.faults import Faults, Gate, settle

QUICK = RetryParameters(attempts=3, base_delay=1e-6)


def retrying(driver: StorageDriver, parameters: RetryParameters = QUICK) -> RetryMiddleware:
    return RetryMiddleware(driver, parameters)


async def prepared() -> tuple[Faults, RetryMiddleware]:
    """A store with the files `/a` ("data") and `/d/1`, and an upload."""
    faults = Faults(InMemoryDriver())
    await faults.put_content("/a", b"data", PutOptions())
    await faults.put_content("/d/1", b"", PutOptions())
    faults.calls.clear()
    return faults, retrying(faults)


async def upload_calls(driver: StorageDriver) -> object:
    upload = await driver.open_upload("/u", "holder", UploadOptions())
    await driver.upload_state(upload, 0)
    await driver.put_part(upload, 1, 0, [b"x"])
    await driver.copy_part(upload, 2, 1, "/a", 0, 4)
    await driver.sync_upload(upload)
    return await driver.complete_upload(upload, (), CompleteOptions(path="/u", size=5))


CALLS: dict[str, Callable[[StorageDriver], Awaitable[object]]] = {
    "check": lambda driver: driver.check(),
    "now": lambda driver: driver.now(),
    "stat": lambda driver: driver.stat("/a"),
    "open_reader": lambda driver: driver.open_reader("/a", ReadOptions()),
    "get_content": lambda driver: driver.get_content("/a"),
    "put_content": lambda driver: driver.put_content("/b", b"x", PutOptions()),
    "delete": lambda driver: driver.delete("/a"),
    "delete_many": lambda driver: driver.delete_many(["/a"]),
    "move": lambda driver: driver.move("/a", "/b"),
    "copy": lambda driver: driver.copy("/a", "/b"),
    "checksum": lambda driver: driver.checksum("/a", "sha256"),
    **dict.fromkeys(
        ("open_upload", "upload_state", "put_part", "copy_part", "sync_upload", "complete_upload"),
        upload_calls,
    ),
}


@pytest.mark.parametrize("operation", CALLS)
def test_call_succeeds_after_temporary_errors(operation: str) -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail(operation, times=2)
        await CALLS[operation](driver)
        assert faults.calls.count(operation) == 3

    asyncio.run(main())


# A move whose reply is lost is not repeated; it has tests of its own below.
@pytest.mark.parametrize("operation", sorted(set(CALLS) - {"move"}))
def test_call_succeeds_after_lost_replies(operation: str) -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail(operation, when="after")
        await CALLS[operation](driver)
        assert faults.calls.count(operation) == 2

    asyncio.run(main())


def test_attempts_are_bounded() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        error = UnavailableError()
        faults.fail("stat", error, times=3)
        with pytest.raises(UnavailableError) as caught:
            await driver.stat("/a")
        assert caught.value is error
        assert faults.calls == ["stat"] * 3

    asyncio.run(main())


@pytest.mark.parametrize(
    "error", [PermissionDeniedError(), PathNotFoundError(), StorageDriverError(), ConflictError()]
)
def test_error_that_is_not_temporary_is_raised_at_once(error: StorageDriverError) -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail("stat", error)
        with pytest.raises(type(error)):
            await driver.stat("/a")
        assert faults.calls == ["stat"]

    asyncio.run(main())


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Delays that were asked for; none is waited for, and the jitter is at its most."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    return asked


def test_delays_double_up_to_the_most(delays: list[float]) -> None:
    async def main() -> None:
        faults, _ = await prepared()
        faults.fail("stat", times=5)
        parameters = RetryParameters(attempts=6, base_delay=1, max_delay=5)
        await retrying(faults, parameters).stat("/a")
        assert delays == [1, 2, 4, 5, 5]

    asyncio.run(main())


def test_delays_are_random_from_nothing_to_the_most(
    monkeypatch: pytest.MonkeyPatch, delays: list[float]
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)

    async def main() -> None:
        faults, _ = await prepared()
        faults.fail("stat", times=2)
        await retrying(faults, RetryParameters(base_delay=1)).stat("/a")
        assert delays == [0.5, 1]

    asyncio.run(main())


def test_throttled_call_waits_as_long_as_the_store_says(delays: list[float]) -> None:
    async def main() -> None:
        faults, _ = await prepared()
        faults.fail("stat", ThrottledError(retry_after=30))
        await retrying(faults, RetryParameters(base_delay=1)).stat("/a")
        assert delays == [31]

    asyncio.run(main())


def test_no_attempt_begins_after_the_total(delays: list[float]) -> None:
    async def main() -> None:
        faults, _ = await prepared()
        faults.fail("stat", ThrottledError(retry_after=30), times=2)
        with pytest.raises(ThrottledError):
            await retrying(faults, RetryParameters(total=20)).stat("/a")
        assert delays == []
        assert faults.calls == ["stat"]

    asyncio.run(main())


def test_nothing_is_repeated_after_a_cancellation() -> None:
    class Stubborn(Gate):
        """Turns a cancellation into an error of its own."""

        async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
            try:
                return await super().stat(path)
            except asyncio.CancelledError:
                raise UnavailableError from None

    async def main() -> None:
        gate = Stubborn(InMemoryDriver(), "stat")
        call = asyncio.create_task(retrying(gate).stat("/a"))
        await gate.entered.wait()
        gate.entered.clear()
        call.cancel()
        await asyncio.wait({call})
        assert not gate.entered.is_set()
        assert isinstance(call.exception(), UnavailableError)

    asyncio.run(main())


def test_cancelled_wait_for_the_next_attempt() -> None:
    async def main() -> None:
        faults, _ = await prepared()
        faults.fail("stat")
        driver = retrying(faults, RetryParameters(base_delay=100, total=1000))
        call = asyncio.create_task(driver.stat("/a"))
        await settle()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert faults.calls == ["stat"]

    asyncio.run(main())


# What an earlier attempt may have left ----------------------------------------------------------


@pytest.mark.parametrize("precondition", ["if_absent", "if_match"])
def test_conditional_put_whose_reply_is_lost_is_done(precondition: str) -> None:
    async def main() -> None:
        faults, driver = await prepared()
        etag = (await faults.stat("/a")).etag
        path = "/new" if precondition == "if_absent" else "/a"
        options = PutOptions(
            if_absent=precondition == "if_absent",
            if_match=etag if precondition == "if_match" else None,
        )
        faults.fail("put_content", when="after")
        info = await driver.put_content(path, bytearray(b"mine"), options)
        assert info == await faults.stat(path)

    asyncio.run(main())


@pytest.mark.parametrize("other", [b"else", b"longer"])
def test_conditional_put_that_finds_other_content_has_an_unknown_outcome(other: bytes) -> None:
    async def main() -> None:
        faults, driver = await prepared()
        await faults.put_content("/new", other, PutOptions())
        faults.fail("put_content", OperationTimeoutError(outcome="unknown"))
        with pytest.raises(AlreadyExistsError) as caught:
            await driver.put_content("/new", b"mine", PutOptions(if_absent=True))
        assert caught.value.outcome == "unknown"

    asyncio.run(main())


def test_conditional_put_that_was_refused_changed_nothing() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail("put_content")
        with pytest.raises(AlreadyExistsError) as caught:
            await driver.put_content("/a", b"data", PutOptions(if_absent=True))
        assert caught.value.outcome == "none"

    asyncio.run(main())


def test_conditional_put_on_what_is_a_directory_is_refused() -> None:
    class OneName(InMemoryDriver):
        async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
            raise ConflictError("it is a directory")

    async def main() -> None:
        inner = OneName()
        faults = Faults(inner)
        await InMemoryDriver.put_content(inner, "/d/1", b"", PutOptions())
        faults.fail("put_content", UnavailableError(outcome="unknown"))
        with pytest.raises(ConflictError):
            await retrying(faults).put_content("/d", b"", PutOptions())

    asyncio.run(main())


def test_delete_whose_reply_is_lost_is_done() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail("delete", when="after")
        await driver.delete("/a")
        faults.fail("delete_many", when="after")
        report = await driver.delete_many(["/d/1"])
        assert (report.deleted, report.missing) == (("/d/1",), ())

    asyncio.run(main())


def test_delete_of_what_was_not_there_is_not_found() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail("delete")
        with pytest.raises(PathNotFoundError) as caught:
            await driver.delete("/none")
        assert caught.value.outcome == "none"
        faults.fail("delete_many")
        assert (await driver.delete_many(["/none"])).missing == ("/none",)

    asyncio.run(main())


def test_partial_delete_is_finished() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        failures = {"/d/1": UnavailableError()}
        faults.fail("delete", PartialDeleteError(failures=failures), when="after")
        await driver.delete("/d")

    asyncio.run(main())


def test_abort_whose_reply_is_lost_is_done() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        upload = await driver.open_upload("/u", "holder", UploadOptions())
        faults.fail("abort_upload", when="after")
        await driver.abort_upload(upload)
        faults.fail("abort_upload")
        with pytest.raises(UploadNotFoundError):
            await driver.abort_upload(upload)

    asyncio.run(main())


def test_move_whose_reply_is_lost_is_done() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail("move", when="after")
        await driver.move("/a", "/b")
        assert faults.calls.count("move") == 1
        assert await faults.get_content("/b") == b"data"

    asyncio.run(main())


def test_move_that_did_not_happen_is_repeated() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        await faults.put_content("/b", b"old", PutOptions())
        faults.fail("move", UnavailableError(outcome="unknown"))
        await driver.move("/a", "/b")
        assert await faults.get_content("/b") == b"data"

    asyncio.run(main())


def test_move_without_a_trace_of_either_has_an_unknown_outcome() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail("move", UnavailableError(outcome="unknown"))
        with pytest.raises(PathNotFoundError) as caught:
            await driver.move("/none", "/b")
        assert caught.value.outcome == "unknown"

    asyncio.run(main())


def test_error_after_an_uncertain_attempt_has_an_unknown_outcome() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        upload = await driver.open_upload("/u", "holder", UploadOptions())
        faults.fail("complete_upload", UnavailableError(outcome="unknown"))
        faults.fail("complete_upload", PermissionDeniedError())
        with pytest.raises(PermissionDeniedError) as caught:
            await driver.complete_upload(upload, (), CompleteOptions(path="/u", size=0))
        assert caught.value.outcome == "unknown"

    asyncio.run(main())


def test_commit_whose_reply_is_lost_is_done() -> None:
    async def main() -> None:
        faults = Faults(InMemoryDriver())
        async with Storage(retrying(faults)) as storage:
            async with await storage.writer("/u") as writer:
                await writer.write(b"x")
                faults.fail("complete_upload", when="after")
                info = await writer.commit()
            assert info == await storage.stat("/u")

    asyncio.run(main())


# Readers ----------------------------------------------------------------------------------------

BODY = bytes(range(256)) * 16384  # four chunks of the in-memory driver


async def read(driver: StorageDriver, options: ReadOptions | None = None) -> bytes:
    async with await driver.open_reader("/a", options or ReadOptions()) as stream:
        chunks = []
        while chunk := await stream.next_chunk():
            chunks.append(chunk)
        return b"".join(chunks)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ReadOptions(), BODY),
        (ReadOptions(offset=5), BODY[5:]),
        (ReadOptions(offset=5, length=3_000_000), BODY[5:3_000_005]),
        (ReadOptions(suffix=2_000_000), BODY[-2_000_000:]),
    ],
)
def test_broken_body_goes_on_where_it_broke(options: ReadOptions, expected: bytes) -> None:
    async def main() -> None:
        faults, driver = await prepared()
        await faults.put_content("/a", BODY, PutOptions())
        for _ in range(2):
            faults.fail("read", times=2)
            faults.succeed("read")
        assert await read(driver, options) == expected
        assert faults.calls.count("open_reader") == 5

    asyncio.run(main())


def test_body_that_ends_early_goes_on() -> None:
    class ShortStream(ByteStream):
        def __init__(self, stream: ByteStream) -> None:
            self.info = stream.info
            self._stream = stream
            self._chunks = 0

        async def next_chunk(self) -> bytes:
            self._chunks += 1
            return await self._stream.next_chunk() if self._chunks < 3 else b""

    class Short(Faults):
        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            return ShortStream(await super().open_reader(path, options))

    async def main() -> None:
        faults = Short(InMemoryDriver())
        await faults.put_content("/a", BODY, PutOptions())
        assert await read(retrying(faults)) == BODY
        assert faults.calls.count("open_reader") == 2

    asyncio.run(main())


def test_reopenings_without_a_chunk_are_bounded() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.fail("read", times=3)
        with pytest.raises(UnavailableError):
            await read(driver)
        assert faults.calls == ["open_reader", "read"] * 3

    asyncio.run(main())


def test_reopening_may_itself_fail_for_a_moment() -> None:
    async def main() -> None:
        faults, driver = await prepared()
        faults.succeed("open_reader")
        faults.fail("open_reader")
        faults.fail("read")
        assert await read(driver) == b"data"

    asyncio.run(main())


@pytest.mark.parametrize("replaced", [True, False])
def test_object_that_changed_meanwhile_is_a_conflict(replaced: bool) -> None:
    async def main() -> None:
        faults, driver = await prepared()
        await faults.put_content("/a", BODY, PutOptions())
        async with await driver.open_reader("/a", ReadOptions()) as stream:
            await stream.next_chunk()
            if replaced:
                await faults.put_content("/a", BODY[::-1], PutOptions())
            else:
                await faults.delete("/a")
            faults.fail("read")
            with pytest.raises(ConflictError):
                await stream.next_chunk()

    asyncio.run(main())


@pytest.mark.parametrize("missing", ["get_range", "get_with_conditions"])
def test_body_is_not_resumed_without_the_capabilities(missing: str) -> None:
    async def main() -> None:
        faults = Faults(InMemoryDriver(), narrow={missing: False})
        await faults.put_content("/a", b"data", PutOptions())
        faults.fail("read")
        with pytest.raises(UnavailableError):
            await read(retrying(faults))
        assert faults.calls.count("open_reader") == 1

    asyncio.run(main())


def test_broken_stream_is_closed_before_the_next_is_opened() -> None:
    open_now: list[ByteStream] = []

    class CountedStream(ByteStream):
        def __init__(self, stream: ByteStream) -> None:
            self.info = stream.info
            self._stream = stream

        async def next_chunk(self) -> bytes:
            return await self._stream.next_chunk()

        async def aclose(self) -> None:
            open_now.remove(self)

    class Counting(Faults):
        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            assert open_now == []
            open_now.append(CountedStream(await super().open_reader(path, options)))
            return open_now[0]

    async def main() -> None:
        faults = Counting(InMemoryDriver())
        await faults.put_content("/a", b"data", PutOptions())
        faults.fail("read", times=2)
        assert await read(retrying(faults)) == b"data"
        assert open_now == []

    asyncio.run(main())


# Listings ---------------------------------------------------------------------------------------


async def entries(pages: AsyncGenerator[Sequence[FileInfo], None]) -> list[str]:
    return [entry.path async for page in pages for entry in page]


async def tree(**narrow: object) -> Faults:
    faults = Faults(InMemoryDriver(), narrow=narrow)
    for path in ("/b/1", "/b-", "/c", "/d/1", "/d/2", "/e"):
        await faults.put_content(path, b"", PutOptions())
    return faults


@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_listing_goes_on_after_its_last_entry(page_size: int) -> None:
    async def main() -> None:
        faults = await tree()
        options = ListOptions(page_size=page_size)
        for operation, listing in (("list", faults.list), ("walk", faults.walk)):
            expected = await entries(listing("/", options))
            for good in range(4):
                for _ in range(good):
                    faults.succeed(operation)
                faults.fail(operation, times=2)
                again = retrying(faults)
                pages = (
                    again.list("/", options) if operation == "list" else again.walk("/", options)
                )
                assert await entries(pages) == expected

    asyncio.run(main())


def test_listing_keeps_its_start() -> None:
    async def main() -> None:
        faults = await tree()
        faults.fail("walk")
        pages = retrying(faults).walk("/", ListOptions(start_after="/c"))
        assert await entries(pages) == ["/d/1", "/d/2", "/e"]

    asyncio.run(main())


@pytest.mark.parametrize("missing", ["walk_with_start_after", "ordered_walk"])
def test_listing_without_order_is_repeated_only_before_its_first_page(missing: str) -> None:
    async def main() -> None:
        faults = await tree(**{missing: False})
        faults.fail("list", times=2)
        assert len(await entries(retrying(faults).list("/", ListOptions(page_size=1)))) == 5
        faults.succeed("list")
        faults.fail("list")
        with pytest.raises(UnavailableError):
            await entries(retrying(faults).list("/", ListOptions(page_size=1)))

    asyncio.run(main())


def test_listing_of_what_is_missing_is_not_found() -> None:
    async def main() -> None:
        faults = await tree()
        faults.fail("list")
        with pytest.raises(PathNotFoundError):
            await entries(retrying(faults).list("/none", ListOptions()))

    asyncio.run(main())


def test_listing_of_what_was_emptied_meanwhile_ends() -> None:
    async def main() -> None:
        faults = await tree()
        pages = retrying(faults).list("/d", ListOptions(page_size=1))
        assert [entry.path for entry in await anext(pages)] == ["/d/1"]
        await faults.delete("/d")
        faults.fail("list")
        assert await entries(pages) == []

    asyncio.run(main())


def test_uploads_are_listed_again_only_from_the_start() -> None:
    async def main() -> None:
        faults = Faults(InMemoryDriver())
        await faults.open_upload("/u", "holder", UploadOptions())
        driver = retrying(faults)
        faults.fail("list_uploads")
        pages = [page async for page in driver.list_uploads()]
        assert [info.upload.path for page in pages for info in page] == ["/u"]
        faults.succeed("list_uploads")
        faults.fail("list_uploads")
        with pytest.raises(UnavailableError):
            [page async for page in driver.list_uploads()]

    asyncio.run(main())
