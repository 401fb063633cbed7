"""Harnesses of programs that each driver starts for itself, on one directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from storagedriver_remote._config import RemoteConfig
from storagedriver_remote._driver import RemoteDriver
from storagedriver_testsuite import Harness

from storagedriver_core import StorageDriver


class DirectoryHarness(Harness):
    """A directory, looked into directly.

    Args:
        directory: Where to make it.
    """

    is_remote = True

    def __init__(self, directory: Path) -> None:
        self.root = directory / "store"
        self.root.mkdir()

    async def raw_list(self) -> Sequence[str]:
        found = []
        for directory, _, files in os.walk(self.root):
            here = directory[len(str(self.root)) :] + "/"
            found += [here + name for name in files]
        return [name for name in found if not name.startswith("/.storagedriver/uploads/")] + [
            f"/.storagedriver/uploads/{name}" for name in await self.raw_uploads()
        ]

    async def raw_uploads(self) -> Sequence[str]:
        uploads = self.root / ".storagedriver" / "uploads"
        return [path.name for path in uploads.iterdir()] if uploads.exists() else []

    async def raw_get(self, path: str) -> bytes:
        return Path(f"{self.root}{path}").read_bytes()


class FilesystemProgramHarness(DirectoryHarness):
    """The driver for directories, in the program that the package brings."""

    def driver(self) -> StorageDriver:
        parameters = {"driver": "filesystem", "parameters": {"root_directory": str(self.root)}}
        return RemoteDriver(RemoteConfig(program="python", parameters=parameters, start_seconds=60))


class NodeProgramHarness(DirectoryHarness):
    """The example in Node.js."""

    def driver(self) -> StorageDriver:
        return RemoteDriver(
            RemoteConfig(
                program="nodejs", parameters={"directory": str(self.root)}, start_seconds=60
            )
        )
