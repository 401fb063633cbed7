from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Buffer,
    ByteStream,
    Capabilities,
    CompleteOptions,
    Conditions,
    FileInfo,
    ListOptions,
    OperationTimeoutError,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    StorageDriver,
    Upload,
    UploadOptions,
    UploadState,
)
from storagedriver_core.middleware.timeout import TimeoutMiddleware, TimeoutParameters
from storagedriver_core.tests.faults import Blank, Gate, settle

SHORT = 0.005


def timed(driver: StorageDriver, **seconds: float) -> TimeoutMiddleware:
    values = {"operation": SHORT, "step": SHORT, "long_operation": SHORT, "grace": SHORT}
    return TimeoutMiddleware(driver, TimeoutParameters(**{**values, **seconds}))


UPLOAD = Upload("/u", "upload-1", holder="holder")
COMPLETE = CompleteOptions(path="/u", size=0)

CALLS: dict[str, tuple[str, Callable[[StorageDriver], Awaitable[object]]]] = {
    "check": ("none", lambda driver: driver.check()),
    "now": ("none", lambda driver: driver.now()),
    "stat": ("none", lambda driver: driver.stat("/u")),
    "open_reader": ("none", lambda driver: driver.open_reader("/u", ReadOptions())),
    "get_content": ("none", lambda driver: driver.get_content("/u")),
    "list": ("none", lambda driver: anext(driver.list("/", ListOptions()))),
    "walk": ("none", lambda driver: anext(driver.walk("/", ListOptions()))),
    "list_uploads": ("none", lambda driver: anext(driver.list_uploads())),
    "checksum": ("none", lambda driver: driver.checksum("/u", "sha256")),
    "local_path": ("none", lambda driver: driver.local_path("/u")),
    "put_content": ("unknown", lambda driver: driver.put_content("/u", b"", PutOptions())),
    "delete": ("unknown", lambda driver: driver.delete("/u")),
    "delete_many": ("unknown", lambda driver: driver.delete_many(["/u"])),
    "move": ("unknown", lambda driver: driver.move("/u", "/v")),
    "copy": ("unknown", lambda driver: driver.copy("/u", "/v")),
    "open_upload": ("unknown", lambda driver: driver.open_upload("/u", "h", UploadOptions())),
    "put_part": ("unknown", lambda driver: driver.put_part(UPLOAD, 1, 0, [b"x"])),
    "copy_part": ("unknown", lambda driver: driver.copy_part(UPLOAD, 1, 0, "/v", 0, 1)),
    "sync_upload": ("unknown", lambda driver: driver.sync_upload(UPLOAD)),
    "upload_state": ("unknown", lambda driver: driver.upload_state(UPLOAD, 0)),
    "complete_upload": ("unknown", lambda driver: driver.complete_upload(UPLOAD, (), COMPLETE)),
    "abort_upload": ("unknown", lambda driver: driver.abort_upload(UPLOAD)),
}


@pytest.mark.parametrize("operation", CALLS)
def test_call_that_takes_too_long_is_cancelled(operation: str) -> None:
    outcome, call = CALLS[operation]

    async def main() -> None:
        gate = Gate(InMemoryDriver(), operation)
        with pytest.raises(OperationTimeoutError) as caught:
            await call(timed(gate))
        assert gate.entered.is_set()
        assert gate.inside == 0
        assert caught.value.outcome == outcome
        assert caught.value.temporary
        assert caught.value.operation == operation
        assert caught.value.driver_name == "inmemory"

    asyncio.run(main())


def test_call_that_ends_in_time_gives_its_result_or_error() -> None:
    async def main() -> None:
        driver = timed(InMemoryDriver(), operation=60, step=60, long_operation=60)
        assert (await driver.put_content("/a", b"x", PutOptions())).size == 1
        async with await driver.open_reader("/a", ReadOptions()) as stream:
            assert await stream.next_chunk() == b"x"
        assert [len(page) async for page in driver.list("/", ListOptions())] == [1]
        with pytest.raises(PathNotFoundError):
            await driver.delete("/none")

    asyncio.run(main())


def test_each_chunk_has_its_own_time() -> None:
    async def main() -> None:
        gate = Gate(InMemoryDriver(), "read")
        await gate.put_content("/a", b"x", PutOptions())
        async with await timed(gate, operation=60).open_reader("/a", ReadOptions()) as stream:
            with pytest.raises(OperationTimeoutError) as caught:
                await stream.next_chunk()
            assert (caught.value.operation, caught.value.outcome) == ("read", "none")
            gate.gate.set()
            assert await stream.next_chunk() == b"x"

    asyncio.run(main())


def test_what_takes_long_at_the_store_has_a_longer_time() -> None:
    async def main() -> None:
        gate = Gate(InMemoryDriver(), "delete", "stat")
        await gate.put_content("/a", b"", PutOptions())
        driver = timed(gate, long_operation=60)
        deleting = asyncio.create_task(driver.delete("/a"))
        with pytest.raises(OperationTimeoutError):
            await driver.stat("/a")
        gate.gate.set()
        await deleting

    asyncio.run(main())


def test_puts_have_time_for_their_size() -> None:
    async def main() -> None:
        gate = Gate(InMemoryDriver(), "put_content", "stat")
        driver = timed(gate, min_rate=1)
        putting = asyncio.create_task(driver.put_content("/a", b"x" * 60, PutOptions()))
        with pytest.raises(OperationTimeoutError):
            await driver.stat("/a")
        gate.gate.set()
        await putting

    asyncio.run(main())


class Stuck(InMemoryDriver):
    """Some calls do not end when they are cancelled, but when they are let go."""

    def __init__(self, *operations: str) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.closed = 0
        self.aborted: list[Upload] = []
        self.released: list[Upload] = []
        self._operations = operations

    async def stick(self, operation: str) -> None:
        while operation in self._operations and not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue

    async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        await self.stick("stat")
        return await super().stat(path)

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        await self.stick("put_content")
        return await super().put_content(path, data, options)

    async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
        await self.stick("open_reader")
        return StuckStream(self, await super().open_reader(path, options))

    async def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
        await self.stick("open_upload")
        return await super().open_upload(path, holder, options)

    async def abort_upload(self, upload: Upload) -> None:
        self.aborted.append(upload)
        await super().abort_upload(upload)

    async def upload_state(self, upload: Upload, size: int) -> UploadState:
        await self.stick("upload_state")
        return await super().upload_state(upload, size)

    def release_upload(self, upload: Upload) -> None:
        self.released.append(upload)

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        try:
            await self.stick("list")
            async for page in super().list(path, options):
                yield page
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        await self.stick("aclose")
        self.closed += 1


class StuckStream(ByteStream):
    def __init__(self, driver: Stuck, stream: ByteStream) -> None:
        self.info = stream.info
        self._driver = driver
        self._stream = stream

    async def next_chunk(self) -> bytes:
        await self._driver.stick("read")
        return await self._stream.next_chunk()

    async def aclose(self) -> None:
        await self._driver.stick("close_reader")
        self._driver.closed += 1


def test_call_that_cannot_be_cancelled_is_left_behind() -> None:
    async def main() -> None:
        stuck = Stuck("stat")
        driver = timed(stuck)
        with pytest.raises(OperationTimeoutError):
            await driver.stat("/")
        stuck.let_go.set()
        await driver.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_reply_that_comes_in_the_grace_counts() -> None:
    class Late(InMemoryDriver):
        async def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return FileInfo(path)
            raise AssertionError

    async def main() -> None:
        assert (await timed(Late(), grace=60).stat("/a")).path == "/a"

    asyncio.run(main())


def test_reader_that_opens_too_late_is_closed() -> None:
    async def main() -> None:
        stuck = Stuck("open_reader")
        await stuck.put_content("/a", b"", PutOptions())
        with pytest.raises(OperationTimeoutError):
            await timed(stuck).open_reader("/a", ReadOptions())
        stuck.let_go.set()
        await settle()
        assert stuck.closed == 1

    asyncio.run(main())


def test_upload_that_opens_too_late_is_aborted() -> None:
    async def main() -> None:
        stuck = Stuck("open_upload")
        with pytest.raises(OperationTimeoutError):
            await timed(stuck).open_upload("/a", "holder", UploadOptions())
        stuck.let_go.set()
        await settle()
        assert [upload.path for upload in stuck.aborted] == ["/a"]
        assert [page async for page in stuck.list_uploads()] == [[]]

    asyncio.run(main())


def test_upload_that_is_taken_over_too_late_is_released() -> None:
    async def main() -> None:
        stuck = Stuck("upload_state")
        upload = await stuck.open_upload("/a", "holder", UploadOptions())
        with pytest.raises(OperationTimeoutError):
            await timed(stuck).upload_state(upload, 0)
        stuck.let_go.set()
        await settle()
        assert stuck.released == [upload]

    asyncio.run(main())


def test_listing_that_is_stuck_does_not_hold_its_caller() -> None:
    async def main() -> None:
        stuck = Stuck("list")
        with pytest.raises(OperationTimeoutError):
            await anext(timed(stuck).list("/", ListOptions()))
        assert stuck.closed == 0
        stuck.let_go.set()
        await settle()

    asyncio.run(main())


def test_cancelled_caller_cancels_the_call() -> None:
    async def main() -> None:
        gate = Gate(InMemoryDriver(), "stat")
        call = asyncio.create_task(timed(gate, operation=60, grace=60).stat("/"))
        await gate.entered.wait()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert gate.inside == 0

    asyncio.run(main())


def test_cancelled_caller_does_not_wait_for_what_is_stuck() -> None:
    async def main() -> None:
        stuck = Stuck("open_reader")
        await stuck.put_content("/a", b"", PutOptions())
        call = asyncio.create_task(timed(stuck, operation=60).open_reader("/a", ReadOptions()))
        await settle()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        stuck.let_go.set()
        await settle()
        assert stuck.closed == 1

    asyncio.run(main())


def test_cancelled_just_after_the_reply_closes_the_reader() -> None:
    async def main() -> None:
        stuck = Stuck("open_reader")
        await stuck.put_content("/a", b"", PutOptions())
        call = asyncio.create_task(timed(stuck, operation=60).open_reader("/a", ReadOptions()))
        await settle()
        stuck.let_go.set()
        while not call.done():
            call.cancel()
            await asyncio.sleep(0)
        assert call.cancelled()
        await settle()
        assert stuck.closed == 1

    asyncio.run(main())


def test_closing_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        stuck = Stuck("close_reader", "aclose")
        await stuck.put_content("/a", b"x", PutOptions())
        driver = timed(stuck)
        async with await driver.open_reader("/a", ReadOptions()) as stream:
            assert await stream.next_chunk() == b"x"
        await driver.aclose()
        assert stuck.closed == 0
        stuck.let_go.set()
        await settle()
        assert stuck.closed == 2

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert len(caplog.records) == 2


def test_opening_is_bounded() -> None:
    class Silent(InMemoryDriver):
        async def open(self) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(OperationTimeoutError) as caught:
            await timed(Silent()).open()
        assert caught.value.outcome == "none"

    asyncio.run(main())


def test_what_a_driver_learns_as_it_is_opened_is_known() -> None:
    class Learning(InMemoryDriver):
        is_open = False

        async def open(self) -> None:
            await super().open()
            self.wanted_digests = ("md5",)
            self.is_open = True

        @property
        def capabilities(self) -> Capabilities:
            return super().capabilities.narrow({"copy": not self.is_open})

    async def main() -> None:
        driver = timed(Learning(), operation=60)
        await driver.open()
        assert tuple(driver.wanted_digests) == ("md5",)
        assert not driver.capabilities.copy
        await driver.aclose()

    asyncio.run(main())


def test_goes_to_another_process() -> None:
    driver = timed(Blank(), grace=3.0)
    copy = pickle.loads(pickle.dumps(driver))
    assert copy._parameters == driver._parameters
