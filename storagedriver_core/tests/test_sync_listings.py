"""Listings of a `SyncStorage`: what they ask for, and what becomes of those that are left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence

import pytest
from storagedriver_inmemory import InMemoryDriver

from storagedriver_core import (
    ClosedError,
    FileInfo,
    ListOptions,
    PathNotFoundError,
    Storage,
    SyncStorage,
)
from storagedriver_core.tests.faults import Faults


class Pages(InMemoryDriver):
    """Endless pages of one entry; counts them, and says when the listing was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0
        self.closed = threading.Event()

    async def list(
        self, path: str, options: ListOptions
    ) -> AsyncGenerator[Sequence[FileInfo], None]:
        try:
            while True:
                self.given += 1
                yield [FileInfo(f"/{self.given}")]
        finally:
            self.closed.set()


def test_listing_of_many_entries_is_complete() -> None:
    with SyncStorage(Storage(InMemoryDriver())) as storage:
        expected = [f"/{number:04}" for number in range(1500)]
        for path in expected:
            storage.put_content(path, b"")
        assert [entry.path for entry in storage.list("/")] == expected
        assert [entry.path for entry in storage.walk("/", page_size=7, limit=100)] == expected[:100]


def test_listing_that_is_left_is_closed() -> None:
    pages = Pages()
    with SyncStorage(Storage(pages)) as storage:
        for entry in storage.list("/"):
            if entry.path == "/10":
                break
        assert pages.closed.wait(10)
    assert pages.given <= 20


def test_listing_that_is_closed_has_let_go() -> None:
    pages = Pages()
    with SyncStorage(Storage(pages)) as storage:
        with contextlib.closing(storage.list("/")) as entries:
            assert [next(entries).path, next(entries).path] == ["/1", "/2"]
            assert not pages.closed.is_set()
        assert pages.closed.is_set()
        entries.close()
        assert list(entries) == []


def test_listing_that_is_lost_in_a_running_loop_is_closed() -> None:
    pages = Pages()
    with SyncStorage(Storage(pages)) as storage:
        entries: Iterator[FileInfo] = storage.list("/")
        next(entries)

        async def lose() -> None:
            nonlocal entries
            entries = iter(())
            gc.collect()

        asyncio.run(lose())
        assert pages.closed.wait(10)


def test_listing_that_never_began_holds_nothing() -> None:
    pages = Pages()
    with SyncStorage(Storage(pages)) as storage:
        storage.list("/")
        assert pages.given == 0


def test_listing_raises_after_the_entries_that_came() -> None:
    faults = Faults(InMemoryDriver())
    with SyncStorage(Storage(faults)) as storage:
        for number in range(5):
            storage.put_content(f"/{number}", b"")
        for _ in range(4):
            faults.succeed("list")
        faults.fail("list", PathNotFoundError())
        found = []
        with pytest.raises(PathNotFoundError):
            for entry in storage.list("/", page_size=1):
                found.append(entry.path)
        assert found == ["/0", "/1", "/2", "/3"]


def test_listing_outlives_its_storage_with_an_error() -> None:
    with SyncStorage(Storage(Pages())) as storage:
        entries = storage.list("/")
        next(entries)
    with pytest.raises(ClosedError):
        list(entries)
