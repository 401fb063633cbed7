"""Locks of local files: whoever was given one and is gone keeps it from nobody."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from storagedriver_registry.storage import locks

from storagedriver_core import Storage, open_storage


async def has_lock(storage: Storage) -> bool:
    async with locks.locked(storage, "/file", patience=0) as is_locked:
        return is_locked


def test_who_is_cancelled_while_the_lock_is_taken_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go_on = threading.Event(), threading.Event()
    try_lock = locks._try_lock

    def try_slowly(place: str) -> int | None:
        descriptor = try_lock(place)
        taken.set()
        go_on.wait(30)
        return descriptor

    async def run() -> None:
        config = {"driver": "filesystem", "parameters": {"root_directory": str(tmp_path)}}
        async with open_storage({"storage": config}) as storage:
            await storage.put_content("/file", b"")
            monkeypatch.setattr(locks, "_try_lock", try_slowly)
            first = asyncio.create_task(has_lock(storage))
            await asyncio.to_thread(taken.wait, 30)
            first.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await first
            monkeypatch.undo()
            assert await has_lock(storage)

    asyncio.run(run())
