"""Those who compete on local stores: plain system calls, a dictionary, and fsspec's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.drivers._contender import MIB, Contender, Role, Source, Take

_THREADS = 16


class PlainFiles(Contender):
    """System calls: what is written is fsynced, renamed to its name, and its directory fsynced.

    Writing goes to threads; what only reads is in the kernel's cache, and waits for nothing.

    Args:
        root: Where the files are.
        is_synced: Whether anything is fsynced.
    """

    role: Role = "raw"
    label = "plain system calls"
    packages = ()

    def __init__(self, root: Path, *, is_synced: bool = True) -> None:
        self._root = root
        self._is_synced = is_synced

        self._threads = ThreadPoolExecutor(_THREADS)

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        self._threads.shutdown()

    async def put_large(self, name: str, source: Source) -> None:
        await self._in_thread(lambda: self._write(name, source.chunks))

    async def get_large(self, name: str, take: Take) -> None:
        with (self._root / name).open("rb", buffering=0) as file:
            while chunk := file.read(MIB):
                take(chunk)

    async def put(self, name: str, data: bytes) -> None:
        await self._in_thread(lambda: self._write(name, [data]))

    async def get(self, name: str) -> bytes:
        with (self._root / name).open("rb", buffering=0) as file:
            return file.readall()

    async def stat(self, name: str) -> int:
        return (self._root / name).stat().st_size

    async def list(self, directory: str) -> int:
        with os.scandir(self._root / directory) as entries:
            return sum(entry.stat().st_mtime > 0 for entry in entries)

    async def walk(self, directory: str) -> int:
        return sum(status.st_mtime > 0 for status in _statuses(self._root / directory))

    async def _in_thread(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _write(self, name: str, chunks: Sequence[bytes]) -> None:
        place = self._root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}")
        with part.open("wb", buffering=0) as file:
            for chunk in chunks:
                file.write(chunk)
            if self._is_synced:
                os.fsync(file.fileno())
        part.rename(place)
        if self._is_synced:
            descriptor = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _statuses(directory: Path) -> Iterator[os.stat_result]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _statuses(Path(entry.path))
            else:
                yield entry.stat()


class Dictionary(Contender):
    """A dictionary of names for each directory."""

    role: Role = "raw"
    label = "a dictionary"
    packages = ()

    def __init__(self) -> None:
        self._directories: dict[str, dict[str, bytes]] = {}

    async def open(self) -> None:
        self._directories.clear()

    async def aclose(self) -> None:
        self._directories.clear()

    async def put_large(self, name: str, source: Source) -> None:
        await self.put(name, b"".join(source.chunks))

    async def get_large(self, name: str, take: Take) -> None:
        take(await self.get(name))

    async def put(self, name: str, data: bytes) -> None:
        directory, _, last = name.rpartition("/")
        self._directories.setdefault(directory, {})[last] = data

    async def get(self, name: str) -> bytes:
        directory, _, last = name.rpartition("/")
        return self._directories[directory][last]

    async def stat(self, name: str) -> int:
        return len(await self.get(name))

    async def list(self, directory: str) -> int:
        return sum(len(data) > 0 for data in self._directories[directory].values())

    async def walk(self, directory: str) -> int:
        return await self.list(directory)


class BlockingFileApi(Contender):
    """fsspec's interface of a filesystem without an asynchronous one.

    Args:
        role: Its column in the table.
        protocol: fsspec's name of the filesystem.
        root: Where its files are.
    """

    packages = ("fsspec",)

    def __init__(self, role: Role, protocol: str, root: str) -> None:
        self.role = role
        self.label = f"fsspec's `{protocol}` filesystem"
        self._protocol = protocol
        self._root = root

    async def open(self) -> None:
        import fsspec

        self._files: Any = fsspec.filesystem(self._protocol, skip_instance_cache=True)
        self._made: set[str] = set()

    async def aclose(self) -> None:
        if self._protocol == "memory":
            # It is one for the whole process.
            self._files.store.clear()

    async def put_large(self, name: str, source: Source) -> None:
        self._files.pipe_file(self._path(name, makes=True), source.whole)

    async def get_large(self, name: str, take: Take) -> None:
        with self._files.open(self._path(name), "rb") as file:
            while chunk := file.read(MIB):
                take(chunk)

    async def put(self, name: str, data: bytes) -> None:
        self._files.pipe_file(self._path(name, makes=True), data)

    async def get(self, name: str) -> bytes:
        data: bytes = self._files.cat_file(self._path(name))
        return data

    async def stat(self, name: str) -> int:
        size: int = self._files.info(self._path(name))["size"]
        return size

    async def list(self, directory: str) -> int:
        return len(self._files.ls(self._path(directory), detail=True))

    async def walk(self, directory: str) -> int:
        return len(self._files.find(self._path(directory), detail=True))

    def _path(self, name: str, *, makes: bool = False) -> str:
        directory = name.rpartition("/")[0]
        if makes and directory not in self._made:
            self._files.makedirs(f"{self._root}/{directory}", exist_ok=True)
            self._made.add(directory)
        return f"{self._root}/{name}"
