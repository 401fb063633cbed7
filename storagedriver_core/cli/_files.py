"""Local files, as `put` reads and `get` writes them."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from storagedriver_core._errors import StorageDriverError

_CHUNK_BYTES = 1024 * 1024


def given(stream: TextIO | None, name: str) -> TextIO:
    """Give a standard stream; one that was closed by who started the command is an error."""
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), name)
    return stream


@contextmanager
def source_file(name: str) -> Iterator[tuple[int, int | None]]:
    """Open a file, or standard input for `-`. Gives its descriptor, and its size if known."""
    if name == "-":
        yield given(sys.stdin, "standard input").fileno(), None
        return
    with Path(name).open("rb") as file:
        yield file.fileno(), os.fstat(file.fileno()).st_size if Path(name).is_file() else None


async def read_chunks(descriptor: int, on_progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    """Give the bytes of a file, pipe or terminal, and tell how many there were."""
    done = 0
    while True:
        # Not in a thread: one that waits for a terminal could not be interrupted.
        await _readable(descriptor)
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if not chunk:
            return
        done += len(chunk)
        on_progress(done)
        yield chunk


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        return  # a regular file, which never makes its reader wait
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `target` at the end, unless something is raised.

    Raises:
        OSError: It cannot be written; named after `target`.
    """
    target = target.resolve()
    try:
        with _taking_the_place_of(target) as file:
            yield file
    except StorageDriverError:
        raise  # several of them are OSErrors as well
    except OSError as error:
        # What is written does not say to where, and the name of the part tells nobody anything.
        error.filename = str(target)
        raise


@contextmanager
def _taking_the_place_of(target: Path) -> Iterator[BinaryIO]:
    if target.exists() and not target.is_file():
        # A device or a pipe is written to, never replaced.
        with target.open("wb") as device:
            yield device
        return
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
