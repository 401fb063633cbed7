"""The filesystem driver against plain system calls on the same disk, equally durable.

The large write is written, hashed (in a second thread on the plain side), fsynced, renamed and its
directory fsynced on both sides. The small files are written and fsynced by eight plain threads;
ours are also renamed and their directory is fsynced, which the reference does not do.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import queue
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks._disk import quick_directory, spread_directories
from benchmarks._measure import Row, alternate, speed_row
from benchmarks._report import Report, report_of
from storagedriver_core import Storage, open_storage

LARGE_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
SMALL_FILES = 400
SMALL_BYTES = 4096
TASKS = 8
ROUNDS = 5
LARGE_AIM = 0.9
SMALL_AIM = 0.7


def run(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Measure both on the temporary directory's disk."""
    large, small = (8 * CHUNK_BYTES, 16) if quick else (LARGE_BYTES, SMALL_FILES)
    rows = _rows(rounds or (1 if quick else ROUNDS), large, small)
    packages = ["storagedriver-core", "storagedriver-filesystem"]
    return report_of("The filesystem driver", rows, packages)


def _rows(rounds: int, large: int, small: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as directory:
        base = Path(directory)
        spread_directories(base)
        with asyncio.Runner() as runner:
            storage = open_storage(
                {
                    "storage": {
                        "driver": "filesystem",
                        "parameters": {"root_directory": str(quick_directory(base))},
                    }
                }
            )
            runner.run(storage.open())
            rows = [
                _large(lambda body: runner.run(body()), storage, base, rounds, large),
                _small(lambda body: runner.run(body()), storage, base, rounds, small),
            ]
            runner.run(storage.aclose())
    return rows


def _large(run: Callable[..., None], storage: Storage, base: Path, rounds: int, size: int) -> Row:
    chunk = os.urandom(CHUNK_BYTES)
    count = size // CHUNK_BYTES

    async def ours() -> None:
        async with await storage.writer("/large") as writer:
            for _ in range(count):
                await writer.write(chunk)
            await writer.commit()

    def plain() -> None:
        digest = hashlib.sha256()
        waiting: queue.Queue[bytes | None] = queue.Queue(8)

        def hash_all() -> None:
            while (block := waiting.get()) is not None:
                digest.update(block)

        thread = threading.Thread(target=hash_all)
        thread.start()
        with (base / "plain.part").open("wb", buffering=0) as file:
            for _ in range(count):
                waiting.put(chunk)
                file.write(chunk)
            waiting.put(None)
            thread.join()
            os.fsync(file.fileno())
        (base / "plain.part").rename(base / "plain")
        _fsync_directory(base)

    times = alternate(lambda: run(ours), plain, rounds=rounds)
    (base / "plain").unlink()
    title = f"filesystem write+sha256+commit {size >> 20} MiB"
    return speed_row(title, size / 1e6, "MB/s", *times, LARGE_AIM)


def _small(run: Callable[..., None], storage: Storage, base: Path, rounds: int, files: int) -> Row:
    data = os.urandom(SMALL_BYTES)
    numbers_of_rounds = itertools.count()
    # One for each round, and for the one before them that is not measured.
    directories = iter([quick_directory(base) for _ in range(rounds + 1)])

    async def ours() -> None:
        directory = f"/small-{next(numbers_of_rounds)}"
        numbers = iter(range(files))

        async def put_some() -> None:
            for number in numbers:
                await storage.put_content(f"{directory}/{number}", data)

        await asyncio.gather(*(put_some() for _ in range(TASKS)))

    def plain() -> None:
        directory = next(directories)

        def put(number: int) -> None:
            with (directory / str(number)).open("wb", buffering=0) as file:
                file.write(data)
                os.fsync(file.fileno())

        with ThreadPoolExecutor(TASKS) as threads:
            list(threads.map(put, range(files)))

    times = alternate(lambda: run(ours), plain, rounds=rounds)
    return speed_row(
        "filesystem put_content 4 KiB, 8 at a time", files, "files/s", *times, SMALL_AIM
    )


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
