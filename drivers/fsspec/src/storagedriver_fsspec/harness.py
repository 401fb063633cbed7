"""The conformance suite's harness for this driver: what lies behind each protocol, looked into."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storagedriver_testsuite import ExtraRequests, Harness

from storagedriver_core import StorageDriver
from storagedriver_fsspec._config import FsspecConfig
from storagedriver_fsspec._driver import fsspec_driver
from storagedriver_fsspec._filesystem import filesystem_class

_OWN = "/.storagedriver"
_DIRECTORIES_OF_THE_STORE = {"/", _OWN, f"{_OWN}/puts", f"{_OWN}/uploads", f"{_OWN}/tails"}
_HOLDER = re.compile(r"~(?:free|[0-9a-f]{16})~")
_UPLOADS = (f"{_OWN}/uploads/", f"{_OWN}/puts/")
_LARGEST_FILE_OF_A_FULL_STORE = 2 * 1024 * 1024


def fsspec_harness(directory: Path, parameters: Mapping[str, object] | None = None) -> Harness:
    """Give the harness for the protocol that the parameters name; local files without any."""
    protocol = (parameters or {}).get("protocol", "file")
    if protocol in ("file", "local"):
        return LocalHarness(directory, parameters)
    if protocol == "memory":
        return MemoryHarness(directory, parameters)
    return FsspecHarness(directory, parameters)


class FsspecHarness(Harness):
    """A store of any protocol, looked into by another filesystem of the same protocol.

    Args:
        directory: For stores on this machine; the root directory is made in it.
        parameters: The driver's; `root_directory` is a new one below what is given.
    """

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        given = dict(parameters or {"protocol": "file"})
        self._name = f"store-{secrets.token_hex(8)}"
        base = str(given.pop("root_directory", None) or directory)
        self._given: dict[str, Any] = given
        self._base = base.rstrip("/")

    def driver(self) -> StorageDriver:
        return self._driver(self._name)

    def _driver(self, name: str, **changes: Any) -> StorageDriver:
        return fsspec_driver(FsspecConfig(**{**self.parameters_at(name), **changes}))

    def parameters_at(self, name: str) -> dict[str, Any]:
        """Give the parameters of a driver on one root."""
        return {**self._given, "root_directory": f"{self._base}/{name}"}

    async def raw_list(self) -> Sequence[str]:
        return await asyncio.to_thread(self._found)

    def _found(self) -> list[str]:
        config = FsspecConfig.model_validate(self.parameters())
        made = filesystem_class(config.protocol)(**config.revealed(), skip_instance_cache=True)
        root = config.root_directory.strip("/")
        try:
            found = made.find(config.root_directory)
        except FileNotFoundError:
            return []
        finally:
            for name in ("client", "ftp"):
                close = getattr(getattr(made, name, None), "close", None)
                if close is not None:
                    close()
        return [each.strip("/").removeprefix(root) for each in found]

    async def raw_uploads(self) -> Sequence[str]:
        names = {
            "/".join(name.split("/")[:4])
            for name in await self.raw_list()
            if name.startswith(_UPLOADS)
        }
        return sorted(names)

    def missing_driver(self) -> StorageDriver:
        return self._driver("missing", create=False)

    def other_root_driver(self) -> StorageDriver:
        return self._driver(f"{self._name}-2")

    def parameters(self) -> Mapping[str, object]:
        return self.parameters_at(self._name)

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        good = dict(self.parameters())
        return [
            ({}, "protocol"),
            ({"protocol": "file"}, "root_directory"),
            ({**good, "protocol": "no-such-protocol"}, "no-such-protocol"),
            ({**good, "root_directory": 7}, "root_directory"),
            ({**good, "root_directory": ""}, "root_directory"),
            ({**good, "max_threads": 0}, "max_threads"),
            ({**good, "options": "host"}, "options"),
            ({**good, "colour": "red"}, "colour"),
        ]


class DirectoryHarness(FsspecHarness):
    """A store whose files lie in a directory of this machine, whichever server is before it.

    Args:
        files: The directory.
        parameters: The driver's, of a root directory that is the same directory.
    """

    def __init__(self, files: Path, parameters: Mapping[str, object] | None = None) -> None:
        super().__init__(files, parameters)
        self._files = files
        self._root = str(files / self._name)

    async def start(self) -> None:
        await asyncio.to_thread(os.mkdir, self._root)

    async def stop(self) -> None:
        for name in (self._name, f"{self._name}-2", f"{self._name}-away"):
            await asyncio.to_thread(shutil.rmtree, self._files / name, ignore_errors=True)

    async def raw_list(self) -> Sequence[str]:
        return await asyncio.to_thread(self._names)

    def _names(self) -> list[str]:
        found = []
        for directory, below, files in os.walk(self._root):
            here = directory[len(self._root) :] + "/"
            # Who has an upload is in its name, and changes soon after its writer has let go.
            found += [here + _HOLDER.sub("~", name) for name in files]
            empty = not below and not files
            if empty and (here.rstrip("/") or "/") not in _DIRECTORIES_OF_THE_STORE:
                found.append(here)
        return found

    async def raw_get(self, path: str) -> bytes:
        return await asyncio.to_thread(Path(self._root + path).read_bytes)

    async def raw_put(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._put, path, data)

    def _put(self, path: str, data: bytes) -> None:
        # Whoever has the old file open keeps it: nothing is written in its place.
        made = self._files / f"{self._name}-{secrets.token_hex(8)}"
        made.write_bytes(data)
        target = Path(self._root + path)
        while True:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                made.rename(target)
                return
            except FileNotFoundError:
                continue  # pruned in this moment

    @contextmanager
    def removed_store(self) -> Iterator[None]:
        away = f"{self._root}-away"
        Path(self._root).rename(away)
        try:
            yield
        finally:
            Path(away).rename(self._root)


class LocalHarness(DirectoryHarness):
    """A directory of this machine, without a server."""

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        super().__init__(directory, {"protocol": "file", **(parameters or {})})

    @contextmanager
    def full_store(self) -> Iterator[None]:
        # A limit on each file of this process needs neither root nor a filesystem of its own.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE_OF_A_FULL_STORE, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class MemoryHarness(FsspecHarness):
    """A directory of fsspec's memory filesystem, which is one store for the whole process."""

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        super().__init__(Path("/conformance"), {"protocol": "memory", **(parameters or {})})

    @property
    def _store(self) -> dict[str, Any]:
        from fsspec.implementations.memory import MemoryFileSystem

        store: dict[str, Any] = MemoryFileSystem.store
        return store

    @property
    def _root(self) -> str:
        return f"{self._base}/{self._name}"

    async def stop(self) -> None:
        for path in [path for path in self._store if path.startswith(self._root)]:
            del self._store[path]

    async def raw_list(self) -> Sequence[str]:
        root = f"{self._root}/"
        return [path[len(root) - 1 :] for path in self._store if path.startswith(root)]

    async def raw_get(self, path: str) -> bytes:
        data: bytes = self._store[self._root + path].getvalue()
        return data

    async def raw_put(self, path: str, data: bytes) -> None:
        from fsspec.implementations.memory import MemoryFileSystem

        MemoryFileSystem().pipe_file(self._root + path, data)

    def offers(self, method: str) -> bool:
        return method != "missing_driver" and super().offers(method)


class SftpHarness(DirectoryHarness):
    """A directory of this machine behind an SFTP server."""

    is_remote = True


class WebdavHarness(DirectoryHarness):
    """A directory of this machine behind a WebDAV server."""

    # A write is three requests, and a server is no disk.
    max_seconds = 300.0
    extra_requests = ExtraRequests(
        "a PUT that breaks off leaves its half, so one has another name first, and is then moved "
        "where nothing is, or else where a look has found no collection, and looked at; an upload "
        "is a collection of parts, each put after a look at who has it, and joined in the end",
        put=2,
        replace=4,
        part=2,
        commit=7,
    )

    def __init__(self, files: Path, parameters: Mapping[str, object]) -> None:
        super().__init__(files, {**parameters, "root_directory": "/"})
        self._options: dict[str, Any] = dict(self._given["options"])

    is_remote = True

    def offers(self, method: str) -> bool:
        # A server may know from memory what its directory holds.
        return method not in ("raw_put", "removed_store") and super().offers(method)

    def upstream_url(self) -> str:
        return str(self._options["base_url"])

    def proxied_driver(self, url: str) -> StorageDriver:
        return self._driver(self._name, options={**self._options, "base_url": url})

    def unauthenticated_driver(self) -> StorageDriver:
        return self._driver(self._name, options={**self._options, "auth": ["nobody", "wrong"]})
