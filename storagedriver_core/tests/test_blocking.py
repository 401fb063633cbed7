from __future__ import annotations

import asyncio
import dataclasses
import inspect
import io
import pickle
import shelve
import textwrap
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import Mock

import pytest

import storagedriver_core
from storagedriver_core import (
    BlockingDriver,
    BlockingReader,
    BlockingStorageDriver,
    Buffer,
    Capabilities,
    Conditions,
    ConflictError,
    DeleteReport,
    FileInfo,
    InvalidOffsetError,
    ListOptions,
    PathNotFoundError,
    PutOptions,
    ReadOptions,
    Storage,
    StorageDriver,
    UnavailableError,
    UnsupportedMethodError,
    Upload,
    UploadOptions,
    UploadState,
    _threads,
)
from storagedriver_core.tests.faults import settle

METHODS = sorted(
    name
    for name in vars(StorageDriver)
    if not name.startswith("_") and name not in {"capabilities", "wanted_digests", "aclose"}
)


class Shelf(BlockingDriver):
    """A few files in memory; says in which threads it was called."""

    name = "shelf"
    capabilities = Capabilities(get_range=True, upload=True, list_uploads=True)

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.threads: set[str] = set()
        self.closed: list[str] = []

    def called(self) -> None:
        self.threads.add(threading.current_thread().name)

    def open(self) -> None:
        self.called()

    def close(self) -> None:
        self.called()
        self.closed.append("driver")

    def stat(self, path: str, conditions: Conditions | None = None) -> FileInfo:
        self.called()
        if path in self.files:
            return FileInfo(path, len(self.files[path]))
        if path == "/" or any(name.startswith(f"{path}/") for name in self.files):
            return FileInfo(path, is_dir=True)
        raise PathNotFoundError

    def open_reader(self, path: str, options: ReadOptions) -> BlockingReader:
        self.called()
        return ShelfReader(self, self.stat(path), io.BytesIO(self.files[path]), options)

    def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        self.called()
        self.files[path] = bytes(data)
        return self.stat(path)

    def list(self, path: str, options: ListOptions) -> Iterable[Sequence[FileInfo]]:
        try:
            for name in sorted(self.files):
                self.called()
                yield [self.stat(name)]
        finally:
            self.called()
            self.closed.append("listing")

    def delete(self, path: str) -> None:
        self.called()
        del self.files[path]


class ShelfReader(BlockingReader):
    def __init__(
        self, shelf: Shelf, info: FileInfo, file: io.BytesIO, options: ReadOptions
    ) -> None:
        super().__init__(info, file, options)
        self._shelf = shelf

    def read(self, size: int) -> bytes:
        self._shelf.called()
        return super().read(size)

    def close(self) -> None:
        self._shelf.called()
        self._shelf.closed.append("reader")
        super().close()


class Blocker:
    """Holds a thread until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.inside = self.most = 0

    def hold(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        assert self.let_go.wait(60)
        self.inside -= 1

    async def wait_until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 60)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what a thread does without anybody who waits for it."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.001)


def documented_example() -> type[BlockingDriver]:
    doc = inspect.getdoc(BlockingDriver) or ""
    code = textwrap.dedent(doc.split("```python\n")[1].split("```")[0]).split("storage =")[0]
    names = {name: getattr(storagedriver_core, name) for name in storagedriver_core.__all__}
    scope: dict[str, Any] = {
        **names,
        "io": io,
        "shelve": shelve,
        "PurePosixPath": PurePosixPath,
        "Iterable": Iterable,
        "Sequence": Sequence,
    }
    exec(compile(code, "<example>", "exec"), scope)
    example: type[BlockingDriver] = scope["ShelfDriver"]
    return example


def test_documented_example_works(tmp_path: Path) -> None:
    async def main() -> None:
        shelf = documented_example()(str(tmp_path / "objects"))  # type: ignore[call-arg]  # made at run time
        async with Storage(BlockingStorageDriver(shelf, threads=1)) as storage:
            await storage.check()
            await storage.put_content("/a/b", b"0123456789")
            await storage.put_content("/a/c", b"")
            assert (await storage.stat("/a/b")).size == 10
            assert (await storage.stat("/a")).is_dir
            assert await storage.get_content("/a/b") == b"0123456789"
            async with await storage.reader("/a/b", offset=2, length=3) as reader:
                assert await reader.read() == b"234"
            async with await storage.reader("/a/b", suffix=2) as reader:
                assert await reader.read() == b"89"
            with pytest.raises(InvalidOffsetError):
                await storage.reader("/a/b", offset=11)
            with pytest.raises(PathNotFoundError):
                await storage.get_content("/a")
            with pytest.raises(ConflictError):
                await storage.put_content("/a", b"")
            with pytest.raises(ConflictError):
                await storage.put_content("/a/b/c", b"")
            await storage.move("/a/b", "/d")
            assert {entry.path async for entry in storage.list("/")} == {"/a", "/d"}
            assert {entry.path async for entry in storage.walk("/")} == {"/a/c", "/d"}
            with pytest.raises(PathNotFoundError):
                await anext(storage.list("/d"))
            assert (await storage.delete_many(["/d", "/x"])).missing == ("/x",)
            await storage.delete("/a")
            with pytest.raises(PathNotFoundError):
                await storage.delete("/a")
            assert [entry async for entry in storage.list("/")] == []
            with pytest.raises(UnsupportedMethodError):
                await storage.writer("/a")

    asyncio.run(main())


def test_digests_that_the_plain_driver_wants_are_wanted() -> None:
    class Wanting(Shelf):
        wanted_digests = ("sha256",)

    assert BlockingStorageDriver(Wanting()).wanted_digests == ("sha256",)
    assert BlockingStorageDriver(Shelf()).wanted_digests == ()


@pytest.mark.parametrize("method", METHODS)
def test_plain_method_has_the_parameters_of_the_contract(method: str) -> None:
    plain = inspect.signature(getattr(BlockingDriver, method)).parameters
    assert plain == inspect.signature(getattr(StorageDriver, method)).parameters


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"open_reader", "release_upload"}))
def test_call_reaches_the_plain_method_in_a_thread(method: str) -> None:
    threads = []
    result = [object()]

    def plain(*positional: object, **named: object) -> object:
        threads.append(threading.current_thread().name)
        assert (list(positional), named) == (expected_positional, expected_named)
        return result

    class Recording(Shelf):
        pass

    setattr(Recording, method, staticmethod(plain))
    expected_positional: list[object] = []
    expected_named: dict[str, object] = {}
    parameters = inspect.signature(getattr(StorageDriver, method)).parameters
    for name, parameter in list(parameters.items())[1:]:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            expected_named[name] = Mock(name=name)
        else:
            expected_positional.append(Mock(name=name))

    async def main() -> None:
        driver = BlockingStorageDriver(Recording())
        call = getattr(driver, method)(*expected_positional, **expected_named)
        if method in {"list", "walk", "list_uploads"}:
            assert [page async for page in call] == result
        elif method in {"stat", "put_content", "now", "open_upload"}:
            assert await call is result
        else:
            await call
        await driver.aclose()
        assert len(threads) == 1
        assert threads[0].startswith("storagedriver-blocking")

    asyncio.run(main())


def test_nothing_of_the_driver_runs_on_the_event_loop() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with Storage(BlockingStorageDriver(shelf)) as storage:
            await storage.put_content("/a", b"content")
            async with await storage.reader("/a", offset=1, length=3) as reader:
                reader.set_chunk_size(2)
                assert [chunk async for chunk in reader] == [b"on", b"t"]
            assert [entry.path async for entry in storage.list("/")] == ["/a"]
            await storage.delete("/a")
        assert shelf.closed == ["reader", "listing", "driver"]
        assert all(name.startswith("storagedriver-blocking") for name in shelf.threads)

    asyncio.run(main())


def test_methods_that_are_left_out_are_done_the_portable_way() -> None:
    async def main() -> None:
        driver = BlockingStorageDriver(Shelf())
        await driver.put_content("/a", b"x", PutOptions())
        await driver.move("/a", "/b")
        pages = [page async for page in driver.walk("/", ListOptions())]
        assert [entry.path for page in pages for entry in page] == ["/b"]
        assert (await driver.delete_many(["/b"])).deleted == ("/b",)
        await driver.aclose()

    asyncio.run(main())


def test_methods_that_are_not_left_out_are_called() -> None:
    class Own(Shelf):
        def move(self, source: str, target: str, *, if_absent: bool = False) -> None:
            self.closed.append("move")

        def walk(self, path: str, options: ListOptions) -> Iterable[Sequence[FileInfo]]:
            return [[FileInfo("/walked")]]

        def delete_many(self, paths: Sequence[str]) -> DeleteReport:
            return DeleteReport(missing=tuple(paths))

    async def main() -> None:
        own = Own()
        driver = BlockingStorageDriver(own)
        await driver.move("/a", "/b")
        assert own.closed == ["move"]
        pages = [page async for page in driver.walk("/", ListOptions())]
        assert pages == [[FileInfo("/walked")]]
        assert (await driver.delete_many(["/a"])).missing == ("/a",)
        await driver.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("threads", [1, 3])
def test_calls_at_once_are_bounded(threads: int) -> None:
    blocker = Blocker()

    class Slow(Shelf):
        def delete(self, path: str) -> None:
            blocker.hold()

    async def main() -> None:
        driver = BlockingStorageDriver(Slow(), threads=threads)
        calls = [asyncio.create_task(driver.delete("/a")) for _ in range(6)]
        await eventually(lambda: blocker.inside == threads)
        blocker.let_go.set()
        await asyncio.gather(*calls)
        assert blocker.most == threads
        await driver.aclose()

    asyncio.run(main())


def test_method_that_is_missing_for_what_is_declared_is_said_to_be() -> None:
    class Forgetful(Shelf):
        capabilities = dataclasses.replace(Shelf.capabilities, copy=True)

    async def main() -> None:
        async with Storage(BlockingStorageDriver(Forgetful())) as storage:
            with pytest.raises(UnsupportedMethodError) as caught:
                await storage.copy("/a", "/b")
        assert str(caught.value) == (
            "shelf copy /a: Forgetful declares the capability 'copy', and lacks a method of it"
        )

    asyncio.run(main())


def test_error_of_the_plain_method_is_raised() -> None:
    async def main() -> None:
        driver = BlockingStorageDriver(Shelf())
        with pytest.raises(PathNotFoundError):
            await driver.stat("/none")
        with pytest.raises(UnsupportedMethodError):
            await driver.copy("/a", "/b")
        await driver.aclose()

    asyncio.run(main())


# Cancellation -----------------------------------------------------------------------------------


def test_cancelled_call_is_waited_for() -> None:
    blocker = Blocker()

    class Slow(Shelf):
        def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
            blocker.hold()
            return super().put_content(path, data, options)

    async def main() -> None:
        slow = Slow()
        driver = BlockingStorageDriver(slow)
        call = asyncio.create_task(driver.put_content("/a", b"x", PutOptions()))
        await blocker.wait_until_entered()
        call.cancel()
        await settle()
        assert not call.done()
        blocker.let_go.set()
        await asyncio.wait({call})
        assert call.cancelled()
        assert slow.files == {"/a": b"x"}
        await driver.aclose()

    asyncio.run(main())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "_PATIENCE", 0.001)


@pytest.mark.usefixtures("impatient")
def test_cancelled_call_that_is_stuck_is_left_behind() -> None:
    blocker = Blocker()

    class Stuck(Shelf):
        def delete(self, path: str) -> None:
            blocker.hold()

    async def main() -> None:
        driver = BlockingStorageDriver(Stuck())
        call = asyncio.create_task(driver.delete("/a"))
        await blocker.wait_until_entered()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert blocker.inside == 1
        await driver.aclose()
        blocker.let_go.set()
        await eventually(lambda: blocker.inside == 0)

    asyncio.run(main())


def test_cancelled_call_that_waits_for_a_thread_never_begins() -> None:
    blocker = Blocker()

    class Slow(Shelf):
        def delete(self, path: str) -> None:
            blocker.hold()
            super().delete(path)

    async def main() -> None:
        slow = Slow()
        slow.files = {"/a": b"", "/b": b""}
        driver = BlockingStorageDriver(slow, threads=1)
        first = asyncio.create_task(driver.delete("/a"))
        await blocker.wait_until_entered()
        second = asyncio.create_task(driver.delete("/b"))
        await settle()
        second.cancel()
        await asyncio.wait({second})
        blocker.let_go.set()
        await first
        await driver.aclose()
        assert slow.files == {"/b": b""}

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["open_reader", "open_upload", "upload_state"])
@pytest.mark.parametrize("when", ["in time", "too late", "after close"])
@pytest.mark.usefixtures("impatient")
def test_result_of_a_cancelled_call_is_undone(operation: str, when: str) -> None:
    blocker = Blocker()

    class Slow(Shelf):
        def open_reader(self, path: str, options: ReadOptions) -> BlockingReader:
            reader = super().open_reader(path, options)
            blocker.hold()
            return reader

        def open_upload(self, path: str, holder: str, options: UploadOptions) -> Upload:
            blocker.hold()
            return Upload(path, "id", holder=holder)

        def abort_upload(self, upload: Upload) -> None:
            self.called()
            self.closed.append(f"abort {upload.upload_id}")

        def upload_state(self, upload: Upload, size: int) -> UploadState:
            blocker.hold()
            return UploadState(size)

        def release_upload(self, upload: Upload) -> None:
            self.called()
            self.closed.append(f"release {upload.upload_id}")

    async def main() -> None:
        slow = Slow()
        slow.files["/a"] = b""
        driver = BlockingStorageDriver(slow)
        calls: dict[str, tuple[Callable[[], Any], str]] = {
            "open_reader": (lambda: driver.open_reader("/a", ReadOptions()), "reader"),
            "open_upload": (lambda: driver.open_upload("/a", "h", UploadOptions()), "abort id"),
            "upload_state": (lambda: driver.upload_state(Upload("/a", "id"), 0), "release id"),
        }
        call, undone = calls[operation]
        task = asyncio.ensure_future(call())
        await blocker.wait_until_entered()
        task.cancel()
        if when == "in time":
            blocker.let_go.set()
        await asyncio.wait({task})
        assert task.cancelled()
        if when == "after close":
            await driver.aclose()
            slow.closed.clear()
        blocker.let_go.set()
        await eventually(lambda: slow.closed == [undone])
        assert all(name.startswith("storagedriver-blocking") for name in slow.threads)
        if when != "after close":
            await driver.aclose()

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_reader_is_closed_after_its_last_read_ends() -> None:
    blocker = Blocker()

    class SlowReader(ShelfReader):
        def read(self, size: int) -> bytes:
            blocker.hold()
            return super().read(size)

        def close(self) -> None:
            assert blocker.inside == 0
            super().close()

    class Slow(Shelf):
        def open_reader(self, path: str, options: ReadOptions) -> BlockingReader:
            return SlowReader(self, self.stat(path), io.BytesIO(self.files[path]), options)

    async def main() -> None:
        slow = Slow()
        slow.files["/a"] = b"x"
        driver = BlockingStorageDriver(slow)
        stream = await driver.open_reader("/a", ReadOptions())
        read = asyncio.create_task(stream.next_chunk())
        await blocker.wait_until_entered()
        read.cancel()
        await asyncio.wait({read})
        await stream.aclose()
        await stream.aclose()
        assert slow.closed == []
        blocker.let_go.set()
        await eventually(lambda: slow.closed == ["reader"])
        await driver.aclose()

    asyncio.run(main())


def test_reader_is_closed_although_its_closing_is_cancelled_while_all_threads_are_busy() -> None:
    blocker = Blocker()

    class Slow(Shelf):
        def check(self) -> None:
            blocker.hold()

    shelf = Slow()
    shelf.files["/a"] = b"content"

    async def main() -> None:
        driver = BlockingStorageDriver(shelf, threads=1)
        async with Storage(driver):
            stream = await driver.open_reader("/a", ReadOptions())
            busy = asyncio.create_task(driver.check())
            await blocker.wait_until_entered()
            closing = asyncio.create_task(stream.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            blocker.let_go.set()
            await busy
            await eventually(lambda: "reader" in shelf.closed)
            await stream.aclose()
        assert shelf.closed.count("reader") == 1

    asyncio.run(main())


def test_listing_that_is_left_is_closed_in_a_thread() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.files = {"/a": b"", "/b": b""}
        driver = BlockingStorageDriver(shelf)
        pages = driver.list("/", ListOptions())
        await anext(pages)
        await pages.aclose()
        assert shelf.closed == ["listing"]
        assert all(name.startswith("storagedriver-blocking") for name in shelf.threads)
        await driver.aclose()

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_listing_whose_step_is_stuck_is_closed_after_it() -> None:
    blocker = Blocker()

    class Slow(Shelf):
        def list(self, path: str, options: ListOptions) -> Iterator[Sequence[FileInfo]]:
            try:
                blocker.hold()
                yield []
            finally:
                self.closed.append("listing")

    async def main() -> None:
        slow = Slow()
        driver = BlockingStorageDriver(slow)
        pages = driver.list("/", ListOptions())
        step = asyncio.ensure_future(anext(pages))
        await blocker.wait_until_entered()
        step.cancel()
        await asyncio.wait({step})
        assert step.cancelled()
        blocker.let_go.set()
        await eventually(lambda: slow.closed == ["listing"])
        await driver.aclose()

    asyncio.run(main())


# Releasing and closing --------------------------------------------------------------------------


class Releasing(Shelf):
    def __init__(self, blocker: Blocker) -> None:
        super().__init__()
        self.blocker = blocker

    def release_upload(self, upload: Upload) -> None:
        self.called()
        self.blocker.hold()
        self.closed.append(f"release {upload.upload_id}")
        if upload.upload_id == "bad":
            raise UnavailableError


def test_release_does_not_block_and_comes_before_the_next_call() -> None:
    async def main() -> None:
        releasing = Releasing(Blocker())
        driver = BlockingStorageDriver(releasing)
        await driver.open()
        driver.release_upload(Upload("/a", "id"))
        stat = asyncio.create_task(driver.stat("/"))
        await releasing.blocker.wait_until_entered()
        await settle()
        assert not stat.done()
        releasing.blocker.let_go.set()
        await stat
        assert releasing.closed == ["release id"]
        await driver.aclose()

    asyncio.run(main())


def test_release_may_come_from_any_thread() -> None:
    async def main() -> None:
        releasing = Releasing(Blocker())
        releasing.blocker.let_go.set()
        driver = BlockingStorageDriver(releasing)
        await driver.open()
        await asyncio.to_thread(driver.release_upload, Upload("/a", "id"))
        await eventually(lambda: releasing.closed == ["release id"])
        await driver.aclose()

    asyncio.run(main())


def test_release_comes_before_closing() -> None:
    async def main() -> None:
        releasing = Releasing(Blocker())
        releasing.blocker.let_go.set()
        driver = BlockingStorageDriver(releasing)
        await driver.open()
        driver.release_upload(Upload("/a", "id"))
        await driver.aclose()
        assert releasing.closed == ["release id", "driver"]

    asyncio.run(main())


def test_release_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        releasing = Releasing(Blocker())
        releasing.blocker.let_go.set()
        driver = BlockingStorageDriver(releasing)
        await driver.open()
        driver.release_upload(Upload("/a", "bad"))
        await driver.aclose()

    asyncio.run(main())
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def threads_since(before: Collection[threading.Thread]) -> set[threading.Thread]:
    """Give the threads that are new; one that was there may end at any time."""
    return set(threading.enumerate()) - set(before)


def test_threads_end_when_the_driver_is_closed() -> None:
    async def main() -> None:
        before = threading.enumerate()
        driver = BlockingStorageDriver(Shelf())
        assert not threads_since(before)
        for _ in range(2):
            await driver.open()
            await asyncio.gather(*[driver.stat("/") for _ in range(20)])
            assert threads_since(before)
            await driver.aclose()
            await driver.aclose()
            assert not threads_since(before)

    asyncio.run(main())


def test_threads_end_when_closing_fails() -> None:
    class Failing(Shelf):
        def close(self) -> None:
            raise UnavailableError

    async def main() -> None:
        before = threading.enumerate()
        driver = BlockingStorageDriver(Failing())
        with pytest.raises(UnavailableError):
            await driver.aclose()
        assert not threads_since(before)

    asyncio.run(main())


def test_goes_to_another_process() -> None:
    async def main() -> None:
        driver = BlockingStorageDriver(Shelf(), threads=3)
        await driver.open()
        await driver.put_content("/a", b"x", PutOptions())
        copy = pickle.loads(pickle.dumps(driver))
        assert (copy.name, await copy.get_content("/a")) == ("shelf", b"x")
        await copy.aclose()
        await driver.aclose()

    asyncio.run(main())


# BlockingReader ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ReadOptions(), b"0123456789"),
        (ReadOptions(offset=3), b"3456789"),
        (ReadOptions(offset=3, length=2), b"34"),
        (ReadOptions(offset=8, length=9), b"89"),
        (ReadOptions(length=0), b""),
        (ReadOptions(offset=10), b""),
        (ReadOptions(suffix=3), b"789"),
        (ReadOptions(suffix=30), b"0123456789"),
    ],
)
def test_reader_gives_the_range(options: ReadOptions, expected: bytes) -> None:
    reader = BlockingReader(FileInfo("/a", 10), io.BytesIO(b"0123456789"), options)
    assert b"".join(iter(lambda: reader.read(4), b"")) == expected


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (ReadOptions(offset=11), InvalidOffsetError),
        (ReadOptions(conditions=Conditions(if_match="other")), ConflictError),
    ],
)
def test_reader_that_is_refused_closes_its_file(
    options: ReadOptions, error: type[Exception]
) -> None:
    file = io.BytesIO(b"0123456789")
    with pytest.raises(error):
        BlockingReader(FileInfo("/a", 10, etag="this"), file, options)
    assert file.closed


def test_file_that_is_shorter_than_its_size_is_an_error() -> None:
    reader = BlockingReader(FileInfo("/a", 10), io.BytesIO(b"01234"), ReadOptions())
    assert reader.read(8) == b"01234"
    with pytest.raises(UnavailableError, match="5 bytes early"):
        reader.read(8)
