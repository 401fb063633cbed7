"""Where blocking cannot work, and what ends with a `SyncStorage`."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    BytesStream,
    ByteStream,
    ClosedError,
    ConfigurationError,
    OperationEvent,
    ReadOptions,
    Storage,
    SyncStorage,
    UnavailableError,
)
from storagedriver_core.tests.faults import Blank


@pytest.fixture
def storage() -> Iterator[SyncStorage]:
    with SyncStorage(Storage(InMemoryDriver())) as opened:
        yield opened


@pytest.mark.parametrize(
    "call",
    [
        lambda storage: storage.stat("/"),
        lambda storage: storage.list("/"),
        lambda storage: storage.close(),
        lambda storage: storage.open(),
    ],
)
def test_call_inside_a_running_loop_is_refused_at_once(
    storage: SyncStorage, call: Callable[[SyncStorage], object]
) -> None:
    async def main() -> None:
        with pytest.raises(ClosedError, match="running event loop"):
            call(storage)

    asyncio.run(main())
    storage.check()


def test_call_from_its_own_loop_is_refused() -> None:
    refused: list[BaseException] = []

    def observe(event: OperationEvent) -> None:
        if event.operation == "stat":
            try:
                facade.check()
            except ClosedError as error:
                refused.append(error)

    facade = SyncStorage(Storage(InMemoryDriver(), observers=[observe]))
    with facade:
        facade.stat("/")
    assert len(refused) == 1


def test_closed_storage_refuses() -> None:
    storage = SyncStorage(Storage(InMemoryDriver()))
    with pytest.raises(ClosedError, match="not open: use 'with'"):
        storage.stat("/")
    with pytest.raises(ClosedError):
        storage.list("/")
    storage.open()
    with pytest.raises(ClosedError, match="already open"):
        storage.open()
    storage.close()
    storage.close()
    with pytest.raises(ClosedError, match="the storage is closed"):
        storage.stat("/")
    with storage:
        storage.stat("/")


def test_refusal_says_of_what() -> None:
    def where(call: Callable[[], object]) -> tuple[str, str, str]:
        with pytest.raises(ClosedError) as refused:
            call()
        return refused.value.driver_name, refused.value.operation, refused.value.path

    storage = SyncStorage(Storage(InMemoryDriver()))
    with storage:
        storage.put_content("/a", b"content")
        reader, writer, entries = storage.reader("/a"), storage.writer("/b"), storage.list("/")
    assert where(lambda: storage.stat("/a")) == ("inmemory", "stat", "/a")
    assert where(lambda: storage.put_content("/a", b"")) == ("inmemory", "put_content", "/a")
    assert where(lambda: storage.move("/a", "/b")) == ("inmemory", "move", "/a")
    assert where(lambda: storage.list("/a")) == ("inmemory", "list", "/a")
    assert where(lambda: next(entries)) == ("inmemory", "list", "/")
    assert where(lambda: storage.check()) == ("inmemory", "check", "")
    assert where(lambda: reader.read()) == ("inmemory", "read", "/a")
    assert where(lambda: writer.commit()) == ("inmemory", "commit", "/b")

    async def opened_here() -> tuple[str, str, str]:
        return where(storage.open)

    assert asyncio.run(opened_here()) == ("inmemory", "open", "")


def test_streams_can_be_closed_after_their_storage() -> None:
    with SyncStorage(Storage(InMemoryDriver())) as storage:
        storage.put_content("/a", b"")
        reader = storage.reader("/a")
        writer = storage.writer("/b")
        writer.cancel()
        entries = storage.list("/")
    reader.close()
    writer.close()
    entries.close()
    with pytest.raises(ClosedError):
        reader.read()


def test_stream_that_cannot_be_closed_keeps_neither_others_nor_the_storage_open() -> None:
    closed = []

    class Stuck(BytesStream):
        async def aclose(self) -> None:
            closed.append(self.info.path)
            raise UnavailableError("the connection broke off")

    class Recording(InMemoryDriver):
        async def open_reader(self, path: str, options: ReadOptions) -> ByteStream:
            return Stuck(await self.stat(path), b"", options)

        async def aclose(self) -> None:
            closed.append("driver")
            await super().aclose()

    storage = SyncStorage(Storage(Recording()))
    before = threading.active_count()
    storage.open()
    storage.put_content("/a", b"")
    storage.put_content("/b", b"")
    readers = storage.reader("/a"), storage.reader("/b")
    with pytest.raises(UnavailableError):
        storage.close()
    assert sorted(closed) == ["/a", "/b", "driver"] and closed[-1] == "driver"
    assert threading.active_count() == before
    for reader in readers:
        reader.close()


def test_storage_that_cannot_be_opened_leaves_no_thread() -> None:
    class Missing(InMemoryDriver):
        async def open(self) -> None:
            raise ConfigurationError("there is no such store")

    before = threading.active_count()
    storage = SyncStorage(Storage(Missing()))
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            storage.open()
        assert threading.active_count() == before


def test_thread_ends_when_the_storage_is_closed() -> None:
    before = threading.active_count()
    with SyncStorage(Storage(InMemoryDriver())) as storage:
        storage.check()
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_thread_ends_when_the_storage_is_lost() -> None:
    storage = SyncStorage(Storage(InMemoryDriver()))
    storage.open()
    thread = next(each for each in threading.enumerate() if each.name == "storagedriver-loop")
    with pytest.warns(ResourceWarning, match="never closed"):
        del storage
        gc.collect()
    thread.join(10)
    assert not thread.is_alive()


# From 3.12 on, Python warns of what is tested here.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("held", [False, True])
def test_forked_child_is_refused_at_once(storage: SyncStorage, held: bool) -> None:
    entries = storage.list("/")
    storage.put_content("/a", b"")
    reader, writer = storage.reader("/a"), storage.writer("/b")
    if held:
        # Another thread of the parent may hold the lock, and in the child it never lets go.
        storage._loop._lock.acquire()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        refused = 0
        for call in (storage.check, storage.open, lambda: next(entries), lambda: storage.list("/")):
            try:
                call()
            except ClosedError as error:
                refused += "opened by another process: make one after the fork" in str(error)
        del entries
        # Nothing of this process: leaving a `with` goes on with the error that there may be.
        reader.close()
        writer.close()
        storage.close()
        os._exit(refused)
    if held:
        storage._loop._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    storage.check()
    reader.close()
    writer.close()


def test_goes_to_another_process_unopened() -> None:
    with SyncStorage(Storage(Blank())) as storage:
        copy = pickle.loads(pickle.dumps(storage))
        with pytest.raises(ClosedError):
            copy.stat("/a")
        with copy:
            assert copy.stat("/a").path == "/a"
