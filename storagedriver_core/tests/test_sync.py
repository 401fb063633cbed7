"""What a `SyncStorage` does, which is what a `Storage` does."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextvars
import gc
import inspect
import io
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    Buffer,
    ClosedError,
    FileInfo,
    FileReader,
    FileWriter,
    OperationTimeoutError,
    PathNotFoundError,
    PutOptions,
    Storage,
    SyncStorage,
    UnsupportedMethodError,
    WriterState,
)
from storagedriver_core._sync_streams import SyncReader, SyncWriter
from storagedriver_core.tests.waiting import wait_until


@pytest.fixture
def storage() -> Iterator[SyncStorage]:
    with SyncStorage(Storage(InMemoryDriver())) as opened:
        yield opened


# The same surface -------------------------------------------------------------------------------

SYNC_NAMES = {"aclose": "close"}
# Who serves a driver on does so on an event loop; a caller that blocks could not call it.
ASYNCHRONOUS_ONLY = {"driver"}


def public(owner: type) -> dict[str, object]:
    return {name: value for name, value in vars(owner).items() if not name.startswith("_")}


@pytest.mark.parametrize(
    ("asynchronous", "blocking"),
    [(Storage, SyncStorage), (FileReader, SyncReader), (FileWriter, SyncWriter)],
)
def test_each_public_name_is_there_with_the_same_parameters(
    asynchronous: type, blocking: type
) -> None:
    expected = {
        SYNC_NAMES.get(name, name): value
        for name, value in public(asynchronous).items()
        if name not in ASYNCHRONOUS_ONLY
    }
    assert set(public(blocking)) == set(expected)
    for name, value in expected.items():
        mine = public(blocking)[name]
        if isinstance(value, property):
            assert isinstance(mine, property)
            continue
        assert callable(value)
        assert callable(mine)
        assert inspect.signature(mine).parameters == inspect.signature(value).parameters, name


def test_every_operation_works(storage: SyncStorage) -> None:
    assert storage.driver_name == "inmemory"
    assert storage.capabilities.copy
    storage.check()
    info = storage.put_content("/a", b"0123456789", if_absent=True)
    assert storage.stat("/a") == info
    assert storage.get_content("/a") == b"0123456789"
    assert storage.read_ranges("/a", [(5, 2), (0, 1)]) == [b"56", b"0"]
    storage.put_content("/file", io.BytesIO(b"from a file"))
    storage.put_content("/chunks", iter([b"chunk ", b"by chunk"]))
    assert storage.get_content("/chunks") == b"chunk by chunk"
    storage.copy("/a", "/b/c")
    storage.move("/b/c", "/b/d")
    assert [entry.path for entry in storage.list("/")] == ["/a", "/b", "/chunks", "/file"]
    assert [entry.path for entry in storage.walk("/b")] == ["/b/d"]
    assert len(storage.checksum("/a", "sha256")) == 64
    assert storage.delete_many(["/a", "/none"]).missing == ("/none",)
    storage.delete("/b")
    storage.delete("/b", missing_ok=True)
    with pytest.raises(PathNotFoundError) as caught:
        storage.stat("/b")
    assert caught.value.path == "/b"
    with pytest.raises(UnsupportedMethodError):
        storage.redirect_url("/a", expires=timedelta(minutes=1))
    assert storage.identity() == {}
    with pytest.raises(UnsupportedMethodError):
        storage.local_path("/a")


def test_reader(storage: SyncStorage) -> None:
    storage.put_content("/a", b"0123456789" * 300_000)
    with storage.reader("/a", offset=5) as reader:
        assert reader.info.size == 3_000_000
        assert reader.read(3) == b"567"
        assert reader.position == 8
        reader.seek(2_999_999)
        assert reader.read() == b"9"
    with pytest.raises(ClosedError):
        reader.read()
    with storage.reader("/a") as reader:
        chunks = list(reader)
        assert len(chunks) > 1
        assert b"".join(chunks) == b"0123456789" * 300_000
    with storage.reader("/a") as reader:
        for chunk in reader:
            assert reader.position == len(chunk)
            break
        # As of a file, what comes next goes on there.
        assert chunk + next(reader) + b"".join(reader) == b"0123456789" * 300_000
        assert next(reader, b"end") == b"end"
    with storage.reader("/a") as reader:
        reader.set_chunk_size(2)
        assert (next(reader), next(reader)) == (b"01", b"23")
    with pytest.raises(ClosedError):
        reader.set_chunk_size(2)


def test_reader_can_be_put(storage: SyncStorage) -> None:
    storage.put_content("/a", b"content" * 500_000)
    with storage.reader("/a") as reader:
        storage.put_content("/b", reader)
    assert storage.get_content("/b") == b"content" * 500_000


def test_body_is_read_in_the_thread_of_the_caller(storage: SyncStorage) -> None:
    here, seen = threading.get_ident(), []

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            seen.append(threading.get_ident())
            yield bytes(5 << 20)

    class File(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            seen.append(threading.get_ident())
            return super().read(size)

    storage.put_content("/chunks", chunks())
    storage.put_content("/file", File(b"content"))
    assert storage.stat("/chunks").size == 15 << 20
    assert storage.get_content("/file") == b"content"
    assert set(seen) == {here}


def test_error_of_a_body_comes_out_and_stores_nothing(storage: SyncStorage) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(9 << 20)
        raise KeyError("body")

    with pytest.raises(KeyError, match="body"):
        storage.put_content("/a", chunks())
    no_bodies: list[Any] = ["text", "", ["list"], [], {}, None, iter([7])]
    for wrong in no_bodies:
        with pytest.raises(TypeError):
            storage.put_content("/a", wrong)
    assert list(storage.walk("/")) == []
    assert list(storage.list_uploads()) == []


def test_body_of_an_event_loop_is_iterated_there(storage: SyncStorage) -> None:
    class Reader:
        async def read(self, size: int = -1) -> bytes:
            raise NotImplementedError

        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            yield b"content"

    storage.put_content("/a", Reader())
    assert storage.get_content("/a") == b"content"


def test_body_that_outlives_its_storage_is_refused() -> None:
    waits, goes_on = threading.Event(), threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"begun"
        waits.set()
        assert goes_on.wait(60)
        yield b"late"

    driver = InMemoryDriver()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with SyncStorage(Storage(driver)) as storage:
            putting = pool.submit(storage.put_content, "/a", chunks())
            assert waits.wait(60)
        goes_on.set()
        with pytest.raises(ClosedError, match="closed meanwhile"):
            putting.result(60)
    with SyncStorage(Storage(driver)) as storage:
        assert list(storage.walk("/")) == []


def test_body_that_outlives_its_operation_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    waits, goes_on = threading.Event(), threading.Event()

    def chunks() -> Iterator[bytes]:
        waits.set()
        assert goes_on.wait(60)
        yield b"late"

    class Lingers(InMemoryDriver):
        async def aclose(self) -> None:
            # The operation is cancelled, and the loop still runs when the chunk comes.
            goes_on.set()
            await asyncio.wait([asyncio.wrap_future(putting)])

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with SyncStorage(Storage(Lingers())) as storage:
            putting = pool.submit(storage.put_content, "/a", chunks())
            assert waits.wait(60)
        with pytest.raises(ClosedError, match="closed meanwhile"):
            putting.result(60)
    assert caplog.text == ""


def test_writer(storage: SyncStorage) -> None:
    with storage.writer("/a") as writer:
        writer.write(b"first")
        assert (writer.path, writer.offset, writer.state) == ("/a", 5, WriterState.OPEN)
        token = writer.suspend()
        assert writer.token() == token
        assert writer.durable_offset == 5
    assert [info.upload.path for info in storage.list_uploads()] == ["/a"]
    with storage.resume(token.to_json()) as writer:
        writer.write(b" second", offset=5)
        assert writer.commit(size=12).size == 12
        assert set(writer.digests) == {"sha256"}
    assert storage.get_content("/a") == b"first second"
    with storage.writer("/b") as writer:
        writer.cancel()
    assert storage.purge_uploads(older_than=timedelta(0)) == []


def test_writer_without_commit_leaves_nothing(storage: SyncStorage) -> None:
    with pytest.raises(KeyError), storage.writer("/a") as writer:
        writer.write(b"half")
        raise KeyError
    assert list(storage.list("/")) == []
    assert list(storage.list_uploads()) == []


def test_lost_writer_publishes_nothing_and_warns(storage: SyncStorage) -> None:
    writer = storage.writer("/a")
    writer.write(b"half")
    with pytest.warns(ResourceWarning, match="/a.*never closed"):
        del writer
        gc.collect()
        storage.check()
    assert list(storage.walk("/")) == []
    assert len(storage.purge_uploads(older_than=timedelta(0))) == 1


def test_context_of_the_caller_is_that_of_the_driver() -> None:
    span: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")
    seen: list[tuple[str, str]] = []
    storage = Storage(
        InMemoryDriver(), observers=[lambda event: seen.append((event.operation, span.get()))]
    )
    with SyncStorage(storage) as facade:
        span.set("mine")
        facade.put_content("/a", iter([b"content"]))
        list(facade.list("/"))
    assert seen == [("put_content", "mine"), ("list", "mine"), ("list", "mine"), ("list", "mine")]


# Many threads, and interruptions ----------------------------------------------------------------


def test_sixteen_threads_at_once(storage: SyncStorage) -> None:
    barrier = threading.Barrier(16)

    def work(number: int) -> bool:
        barrier.wait(60)
        for turn in range(20):
            path = f"/{number}/{turn}"
            with storage.writer(path) as writer:
                writer.write(path.encode())
                writer.commit()
            if storage.get_content(path) != path.encode():
                return False
        return len(list(storage.list(f"/{number}"))) == 20

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))
    assert len(list(storage.walk("/"))) == 320


class Waiting(InMemoryDriver):
    """`check` and `put_content` wait until they are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()
        self.cancelled = False

    async def check(self) -> None:
        self.waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def put_content(self, path: str, data: Buffer, options: PutOptions) -> FileInfo:
        await self.check()
        return await super().put_content(path, data, options)


def functions_of(thread: threading.Thread) -> set[str]:
    """Name the functions that a thread is in."""
    frame, names = sys._current_frames()[thread.ident or 0], set[str]()
    at: FrameType | None = frame
    while at is not None:
        names.add(at.f_code.co_name)
        at = at.f_back
    return names


def test_interrupt_cancels_the_operation() -> None:
    driver = Waiting()

    def interrupt() -> None:
        assert driver.waits.wait(60)
        # One that comes before the main thread is in its wait is an ordinary Ctrl-C.
        wait_until(lambda: "_result" in functions_of(threading.main_thread()))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # A shell starts what runs in its background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with SyncStorage(Storage(driver)) as storage:
            interrupter = threading.Thread(target=interrupt)
            interrupter.start()
            with pytest.raises(KeyboardInterrupt):
                storage.check()
            assert driver.cancelled
            interrupter.join()
            assert storage.stat("/").is_dir
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("waits", ["_result", "_next"])
def test_interrupt_that_wakes_no_wait_is_seen_all_the_same(waits: str) -> None:
    driver = Waiting()

    def interrupt() -> None:
        assert driver.waits.wait(60)
        wait_until(lambda: waits in functions_of(threading.main_thread()))
        # As one is that comes just before the wait begins: Python notes it, and no call ends.
        _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with SyncStorage(Storage(driver)) as storage:
            interrupter = threading.Thread(target=interrupt)
            interrupter.start()
            with pytest.raises(KeyboardInterrupt):
                if waits == "_next":
                    storage.put_content("/a", iter([b"x"]))
                else:
                    storage.check()
            interrupter.join()
        assert driver.cancelled
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kind", [TimeoutError, OperationTimeoutError])
def test_operation_that_was_not_in_time_is_over(kind: type[TimeoutError]) -> None:
    class Late(InMemoryDriver):
        async def check(self) -> None:
            raise kind("too late")

    with SyncStorage(Storage(Late())) as storage, pytest.raises(kind, match="too late"):
        storage.check()


def test_closing_ends_operations_of_other_threads() -> None:
    driver = Waiting()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with SyncStorage(Storage(driver)) as storage:
            waiting = pool.submit(storage.check)
            assert driver.waits.wait(60)
        with pytest.raises(ClosedError, match="closed meanwhile"):
            waiting.result(60)
    assert driver.cancelled
