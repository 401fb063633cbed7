"""Syncs that wait together: by the kernel's queue, and by threads where there is none."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from storagedriver_filesystem import _syncing
from storagedriver_filesystem._syncing import Queue, sync_together
from storagedriver_filesystem._threads import Threads


def has_queues() -> bool:
    try:
        Queue()
    except OSError:
        return False
    return True


needs_queues = pytest.mark.skipif(not has_queues(), reason="the kernel gives no queues here")


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(8)
    threads.open()
    yield threads
    assert threads._executor is not None
    threads._executor.shutdown()


@pytest.fixture(params=[pytest.param("kernel", marks=needs_queues), "threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the syncs made in each of the two ways."""
    monkeypatch.setattr(_syncing, "_idle", [])
    monkeypatch.setattr(_syncing, "_refused", request.param == "threads")
    return str(request.param)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the descriptors that `os.fsync` is called for."""
    descriptors: list[int] = []
    original = os.fsync

    def fsync(fd: int) -> None:
        descriptors.append(fd)
        original(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return descriptors


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[int]]:
    """Give a hundred open files and their directory."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context((tmp_path / str(n)).open("wb", buffering=0)) for n in range(100)
        ]
        directory = os.open(tmp_path, os.O_RDONLY)
        stack.callback(os.close, directory)
        for file in opened:
            file.write(b"data")
        yield [*(file.fileno() for file in opened), directory]


@pytest.mark.parametrize("count", [0, 1, _syncing.LEAST, 64, 65, 101])
def test_every_file_is_synced_once(
    count: int, way: str, threads: Threads, files: list[int], synced: list[int]
) -> None:
    descriptors = files[-count:] if count else []
    assert sync_together(threads, descriptors) == [0] * count
    by_kernel = way == "kernel" and count >= _syncing.LEAST
    assert sorted(synced) == ([] if by_kernel else sorted(descriptors))


@pytest.mark.parametrize("place", [0, 2, 5])
def test_one_that_cannot_be_synced_does_not_touch_the_others(
    place: int, way: str, threads: Threads, files: list[int], synced: list[int]
) -> None:
    ours, theirs = os.pipe()  # pipes know no sync
    try:
        descriptors = files[:5]
        descriptors.insert(place, theirs)
        codes = sync_together(threads, descriptors)
    finally:
        os.close(ours)
        os.close(theirs)
    expected = [0] * 6
    expected[place] = errno.EINVAL
    assert codes == expected
    # What the kernel takes it takes up to the first that it does not.
    assert sorted(synced) == sorted(descriptors[place:] if way == "kernel" else descriptors)


@needs_queues
def test_failure_of_the_disk_is_that_of_its_file(
    threads: Threads, files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No disk fails here: what the kernel would answer then is put in its place.
    monkeypatch.setattr(_syncing, "_idle", [])
    original = _syncing._call

    def call(number: int, *arguments: object) -> int:
        result = original(number, *arguments)
        if _syncing._NUMBERS is not None and number == _syncing._NUMBERS[2]:
            events = arguments[3]
            assert isinstance(events, Sequence) or hasattr(events, "__getitem__")
            for event in events[:result]:
                if event.data == 3:
                    event.result = -errno.EIO
        return result

    monkeypatch.setattr(_syncing, "_call", call)
    assert sync_together(threads, files[:6]) == [0, 0, 0, errno.EIO, 0, 0]


@pytest.mark.parametrize(
    ("code", "asked"), [(errno.ENOSYS, 1), (errno.EPERM, 1), (errno.EAGAIN, 2)]
)
def test_where_the_kernel_gives_no_queue_threads_sync(
    code: int,
    asked: int,
    threads: Threads,
    files: list[int],
    synced: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def refuse(number: int, *_: object) -> int:
        calls.append(number)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(_syncing, "_idle", [])
    monkeypatch.setattr(_syncing, "_refused", False)
    monkeypatch.setattr(_syncing, "_NUMBERS", (1, 2, 3))
    monkeypatch.setattr(_syncing, "_call", refuse)
    for _ in range(2):
        assert sync_together(threads, files[:4]) == [0] * 4
    assert sorted(synced) == sorted(files[:4] * 2)
    # One that was used up may be there the next time; one that is forbidden never is.
    assert calls == [1] * asked


@needs_queues
def test_threads_have_queues_of_their_own_and_use_them_again(
    threads: Threads, files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle: list[Queue] = []
    monkeypatch.setattr(_syncing, "_idle", idle)
    at_once = threading.Barrier(4, timeout=60)
    original = Queue.sync

    def together(queue: Queue, descriptors: Sequence[int]) -> list[int]:
        at_once.wait()
        return original(queue, descriptors)

    monkeypatch.setattr(Queue, "sync", together)
    with ThreadPoolExecutor(4) as executor:
        for _ in range(3):
            calls = [
                executor.submit(sync_together, threads, files[start : start + 8])
                for start in range(0, 32, 8)
            ]
            assert [call.result() for call in calls] == [[0] * 8] * 4
    assert len(set(idle)) == 4


@needs_queues
def test_child_process_makes_queues_of_its_own(
    threads: Threads, files: list[int], synced: list[int]
) -> None:
    assert sync_together(threads, files[:8]) == [0] * 8
    child = os.fork()
    if child == 0:
        # The kernel knows the parent's not, so with one of those each would be synced by itself.
        codes = sync_together(threads, files[:8])
        os._exit(0 if codes == [0] * 8 and not synced else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sync_together(threads, files[:8]) == [0] * 8
