"""Locks between the workers of one server."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from storagedriver_registry.storage.errors import UploadBusyError
from storagedriver_registry.storage.process_locks import ProcessLocks

SECONDS = 60


def keep(locks: ProcessLocks, name: str, words: Connection) -> None:
    """Have a lock, say so, and keep it until asked to give it back; then say that it is free."""

    async def run() -> None:
        async with locks.hold(name, patience=0):
            words.send("held")
            words.recv()
        words.send("free")
        words.recv()

    asyncio.run(run())


@contextmanager
def kept_by_another(locks: ProcessLocks, name: str) -> Iterator[tuple[int, Connection]]:
    """Give the id of a forked process that has a lock, and what speaks with it."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=keep, args=(locks, name, theirs))
    process.start()
    try:
        assert ours.poll(SECONDS)
        assert ours.recv() == "held"
        assert process.pid is not None
        yield process.pid, ours
    finally:
        process.kill()
        process.join()


def can_hold(locks: ProcessLocks, name: str, patience: float = 0) -> bool:
    async def run() -> bool:
        try:
            async with locks.hold(name, patience):
                return True
        except UploadBusyError:
            return False

    return asyncio.run(run())


def test_one_process_at_a_time_has_the_lock_of_a_name() -> None:
    locks = ProcessLocks()
    with kept_by_another(locks, "a") as (_, words):
        assert not can_hold(locks, "a")
        assert not can_hold(locks, "a", patience=0.1)
        assert can_hold(locks, "b")
        # What was taken and given back beside it has not freed it.
        assert not can_hold(locks, "a")
        words.send("give it back")
        assert words.poll(SECONDS)
        assert words.recv() == "free"
        assert can_hold(locks, "a")


def test_the_lock_of_a_process_that_dies_is_free() -> None:
    locks = ProcessLocks()
    with kept_by_another(locks, "a") as (pid, _):
        os.kill(pid, signal.SIGKILL)
        assert can_hold(locks, "a", patience=SECONDS)


def test_who_waits_gets_the_lock_when_it_is_given_back() -> None:
    locks = ProcessLocks()

    async def run(words: Connection) -> None:
        async def hold() -> None:
            async with locks.hold("a", patience=SECONDS):
                pass

        waiting = asyncio.create_task(hold())
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        words.send("give it back")
        await waiting

    with kept_by_another(locks, "a") as (_, words):
        asyncio.run(run(words))


def test_a_block_that_fails_gives_the_lock_back() -> None:
    locks = ProcessLocks()

    async def fail() -> None:
        async with locks.hold("a", patience=0):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    with kept_by_another(locks, "a"):
        pass


def test_locks_that_were_made_apart_know_nothing_of_each_other() -> None:
    with kept_by_another(ProcessLocks(), "a"):
        assert can_hold(ProcessLocks(), "a")


def test_nothing_is_left_open() -> None:
    before = descriptors()
    locks = ProcessLocks()
    assert len(descriptors()) == len(before) + 1
    del locks
    assert descriptors() == before


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/dev/fd").iterdir())
