"""Stores without a server: files, and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from obstore.store import LocalStore, MemoryStore

from benchmarks._disk import quick_directory, spread_directories
from benchmarks.drivers._contender import Contender
from benchmarks.drivers._local import BlockingFileApi, Dictionary, PlainFiles
from benchmarks.drivers._obstore import Obstore
from benchmarks.drivers._opendal import OpenDal
from benchmarks.drivers._ours import Ours
from benchmarks.drivers._sites import Site


class FilesSite(Site):
    """Files on the local disk: only ours and the plain system calls are durable."""

    name = "Files on the local disk: the filesystem driver"
    driver = "filesystem"
    is_cloud = False
    entries = 100_000

    def __init__(self, directory: Path) -> None:
        spread_directories(directory)
        self._root = quick_directory(directory)

    def parameters(self, url: str) -> dict[str, Any]:
        return {"root_directory": str(self._root)}

    def contenders(self, url: str) -> Sequence[Contender]:
        root = str(self._root)
        return (
            Ours(self.driver, self.parameters(url)),
            PlainFiles(self._root),
            BlockingFileApi("file API", "local", root),
            Obstore(lambda: LocalStore(root)),
            OpenDal("fs", {"root": root}, multipart=False),
        )

    def judge(self, contenders: Sequence[Contender]) -> Contender | None:
        """Give one that does not fsync: a hundred thousand files would take minutes."""
        return PlainFiles(self._root, is_synced=False)


class FsspecSite(FilesSite):
    """The same by our driver for fsspec's filesystems, beside that filesystem itself."""

    name = "Files on the local disk: the fsspec driver"
    driver = "fsspec"
    entries = 10_000

    def parameters(self, url: str) -> dict[str, Any]:
        return {"protocol": "file", "root_directory": str(self._root)}

    def contenders(self, url: str) -> Sequence[Contender]:
        root = str(self._root)
        return (
            Ours(self.driver, self.parameters(url)),
            BlockingFileApi("raw", "local", root),
        )


class MemorySite(Site):
    """Memory: each has its own."""

    name = "In memory: the inmemory driver"
    driver = "inmemory"
    is_cloud = False
    entries = 100_000

    def __init__(self, directory: Path) -> None:
        pass

    def parameters(self, url: str) -> dict[str, Any]:
        return {}

    def contenders(self, url: str) -> Sequence[Contender]:
        return (
            Ours(self.driver, self.parameters(url)),
            Dictionary(),
            BlockingFileApi("file API", "memory", "/benchmark"),
            Obstore(MemoryStore),
            OpenDal("memory", {}, multipart=False),
        )

    def judge(self, contenders: Sequence[Contender]) -> Contender | None:
        return None
