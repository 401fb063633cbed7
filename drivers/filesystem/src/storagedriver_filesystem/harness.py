"""The conformance suite's harness for this driver: the directory itself, by plain system calls."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import resource
import secrets
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from storagedriver_testsuite import Harness

from storagedriver_core import StorageDriver
from storagedriver_filesystem._beneath import Descriptor
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._driver import FilesystemDriver
from storagedriver_filesystem._staging import UPLOADS
from storagedriver_filesystem._tree import Tree

# Source: linux/fs.h, "Inode flags".
_GET_FLAGS = 0x80086601
_SET_FLAGS = 0x40086602
_IMMUTABLE = 0x10

_LARGEST_FILE_OF_A_FULL_STORE = 1024 * 1024

_DIRECTORIES_OF_THE_STORE = {"/", "/.storagedriver", f"/{UPLOADS}", "/.storagedriver/tails"}


class FilesystemHarness(Harness):
    """A root directory of its own for each test.

    Args:
        directory: Where to make it, unless the parameters say where.
        parameters: The driver's; below `root_directory`, each test makes and removes a directory.
    """

    calls_that_never_wait = MappingProxyType(
        {
            f"storagedriver_filesystem._cached.{name}": reason
            for name, reason in (
                ("CachedFiles.content", "RWF_NOWAIT reads only what is in memory"),
                ("CachedFiles.part", "RWF_NOWAIT reads only what is in memory"),
                ("CachedFiles._status", "the file is open, and on a local filesystem"),
            )
        }
    )

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        given = FilesystemConfig.model_validate(parameters or {"root_directory": directory})
        self._base = given.root_directory.absolute()
        self._home = self._base / f"conformance-{secrets.token_hex(8)}"
        self._root = str(self._home / "root")
        self._config = self._configured("root", given)
        self._tree = _CountingTree(self._root, given.directory_mode)

    def _configured(self, name: str, config: FilesystemConfig) -> FilesystemConfig:
        return config.model_copy(update={"root_directory": self._home / name})

    async def start(self) -> None:
        await asyncio.to_thread(os.makedirs, self._root)

    async def stop(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._home)

    def driver(self) -> StorageDriver:
        driver = FilesystemDriver(self._config)
        driver._tree = self._tree
        return driver

    async def raw_list(self) -> Sequence[str]:
        return await asyncio.to_thread(self._names)

    async def raw_uploads(self) -> Sequence[str]:
        return [name for name in await self.raw_list() if name.startswith(f"/{UPLOADS}/")]

    async def raw_get(self, path: str) -> bytes:
        return await asyncio.to_thread(Path(self._root + path).read_bytes)

    async def raw_put(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._put, path, data)

    def missing_driver(self) -> StorageDriver:
        config = self._configured("missing", self._config)
        return FilesystemDriver(config.model_copy(update={"create": False}))

    def other_root_driver(self) -> StorageDriver:
        return FilesystemDriver(self._configured("root2", self._config))

    @contextmanager
    def full_store(self) -> Iterator[None]:
        # A limit on each file of this process needs neither root nor a filesystem of its own.
        # The kernel's signal for it is ignored: CPython does so from the start.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE_OF_A_FULL_STORE, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    @contextmanager
    def read_only_store(self) -> Iterator[None]:
        with _protected([self._root, *map(str, Path(self._root).rglob("*"))]):
            yield

    @contextmanager
    def undeletable(self, path: str) -> Iterator[None]:
        file = self._root + path
        # Permissions to delete are the directory's, flags the file's own.
        with _protected([file if _is_root() else os.path.dirname(file)]):
            yield

    @contextmanager
    def removed_store(self) -> Iterator[None]:
        away = f"{self._root}-away"
        os.rename(self._root, away)
        try:
            yield
        finally:
            os.rename(away, self._root)

    async def plant_link(self, path: str, target: str) -> None:
        await asyncio.to_thread(os.symlink, target, self._root + path)

    async def plant_directory(self, path: str) -> None:
        await asyncio.to_thread(os.makedirs, self._root + path)

    def list_requests(self) -> int:
        return self._tree.looked_into

    def parameters(self) -> Mapping[str, object]:
        return self._config.model_dump(mode="json", exclude_unset=True)

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        return [
            ({}, "root_directory"),
            ({"root_directory": 7}, "root_directory"),
            ({"root_directory": self._root, "max_threads": 0}, "max_threads"),
            ({"root_directory": self._root, "max_threads": "many"}, "max_threads"),
            ({"root_directory": self._root, "file_mode": "rw"}, "file_mode"),
            ({"root_directory": self._root, "colour": "red"}, "colour"),
        ]

    def offers(self, method: str) -> bool:
        if method in ("read_only_store", "undeletable"):
            return _can_protect(self._base)
        return super().offers(method)

    def _names(self) -> list[str]:
        found = []
        for directory, below, files in os.walk(self._root):
            here = directory[len(self._root) :] + "/"
            links = [name for name in below if os.path.islink(os.path.join(directory, name))]
            found += [here + name for name in (*files, *links)]
            if (
                not below
                and not files
                and (here.rstrip("/") or "/") not in _DIRECTORIES_OF_THE_STORE
            ):
                found.append(here)
        return found

    def _put(self, path: str, data: bytes) -> None:
        # Whoever has the old file open keeps it: nothing is written in its place.
        made = self._home / secrets.token_hex(8)
        made.write_bytes(data)
        try:
            os.rename(made, self._root + path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._root + path), exist_ok=True)
            os.rename(made, self._root + path)


class _CountingTree(Tree):
    """Counts how often an operation on objects begins to look into the tree."""

    looked_into = 0

    def open_root(self) -> Descriptor:
        self.looked_into += 1
        return super().open_root()


@contextmanager
def _protected(paths: Iterable[str]) -> Iterator[None]:
    """Make files and directories refuse every change."""
    with ExitStack() as undo:
        for path in paths:
            undo.callback(_protect(path))
        yield


def _protect(path: str) -> Callable[[], object]:
    """Protect one file or directory, and give what undoes it."""
    if _is_root():
        flags = _change_flags(path, lambda old: old | _IMMUTABLE)
        return lambda: _change_flags(path, lambda _: flags)
    mode = os.stat(path).st_mode
    os.chmod(path, mode & ~0o222)
    return lambda: os.chmod(path, mode)


def _is_root() -> bool:
    """Tell whether permissions hold nobody back, so that it takes flags."""
    return os.geteuid() == 0


def _change_flags(path: str, change: Callable[[int], int]) -> int:
    """Change the inode's flags, and give the old ones."""
    with Descriptor(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as fd:
        old: int = struct.unpack("i", fcntl.ioctl(fd, _GET_FLAGS, bytes(4)))[0]
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("i", change(old)))
        return old


@functools.cache
def _can_protect(directory: Path) -> bool:
    """Tell whether files on this filesystem can be protected from this process."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    with tempfile.NamedTemporaryFile(dir=there) as file:
        try:
            with _protected([file.name]):
                return True
        except OSError:
            return False
