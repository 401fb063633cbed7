"""Scripts with a `SyncStorage`: `python -m storagedriver_core.tests.sync_scripts NAME DIRECTORY`.

Each says where it waits, in a line of its own, and then waits for ever.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from storagedriver_core import DriverMiddleware, Storage, StorageDriver, SyncStorage, open_storage

T = TypeVar("T")
MIB = 1 << 20

kept: list[object] = []
"""As what a script makes at its top is kept, to the end."""


def storage_at(root: Path) -> Storage:
    parameters = {"root_directory": str(root)}
    return open_storage({"storage": {"driver": "filesystem", "parameters": parameters}})


def say(where: str) -> None:
    os.write(1, f"{where}\n".encode())


class Waits(DriverMiddleware):
    """Waits in the third part of a copy, and in the clean-up, whatever cancels it."""

    def __init__(self, driver: StorageDriver, *, in_cleanup: bool) -> None:
        super().__init__(driver)
        self._calls: Counter[str] = Counter()
        self._in_cleanup = in_cleanup

    async def around(self, operation: str, path: str, call: Callable[[], Awaitable[T]]) -> T:
        self._calls[operation] += 1
        if operation == "copy_part" and self._calls[operation] == 3:
            say("copy")
            await asyncio.Event().wait()
        while operation == "abort_upload" and self._in_cleanup:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await call()


def copying(root: Path, *, in_cleanup: bool = False) -> SyncStorage:
    """Give a storage that copies 4 MiB in four parts, and comes to the third one."""
    driver = Waits(storage_at(root).driver, in_cleanup=in_cleanup)
    return SyncStorage(Storage(driver, narrow={"max_single_copy": MIB}, part_size=MIB))


def body(reached: Callable[[], None] = lambda: say("body")) -> Iterator[bytes]:
    """Give a mebibyte, and then wait for standard input."""
    yield bytes(MIB)
    reached()
    yield os.read(0, 1)


# Scripts that end with an open storage -----------------------------------------------------------


def used(root: Path) -> None:
    storage = SyncStorage(storage_at(root))
    storage.open()
    storage.put_content("/a", b"content")


def streams(root: Path) -> None:
    storage = SyncStorage(storage_at(root))
    storage.open()
    reader, writer, entries = storage.reader("/big"), storage.writer("/half"), storage.list("/")
    reader.read(10)
    writer.write(bytes(MIB))
    next(entries)
    kept.extend([storage, reader, writer, entries])


def in_another_thread(root: Path) -> None:
    storage = SyncStorage(storage_at(root))
    storage.open()
    reached = threading.Event()
    put = threading.Thread(
        target=storage.put_content, args=("/half", body(reached.set)), daemon=True
    )
    put.start()
    reached.wait()


def failed(root: Path) -> None:
    with SyncStorage(storage_at(root)) as storage, storage.writer("/half") as writer:
        writer.write(bytes(MIB))
        raise KeyError("something else")


# Scripts that are interrupted --------------------------------------------------------------------


def copy(root: Path) -> None:
    with copying(root) as storage:
        storage.copy("/big", "/half")


def put(root: Path) -> None:
    with SyncStorage(storage_at(root)) as storage:
        storage.put_content("/half", body())


def write(root: Path) -> None:
    with SyncStorage(storage_at(root)) as storage, storage.writer("/half") as writer:
        for chunk in body():
            writer.write(chunk)
        writer.commit()


def clean_up(root: Path) -> None:
    storage = copying(root, in_cleanup=True)
    finish = storage._loop._finish

    async def told(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # Here the main thread waits for it already, or is about to.
        say("clean-up")
        await finish(close)

    storage._loop._finish = told  # type: ignore[method-assign]  # nothing else tells of it
    with storage:
        storage.copy("/big", "/half")


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
