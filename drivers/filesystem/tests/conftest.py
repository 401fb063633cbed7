"""A driver on a directory of its own, and a log of its system calls."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from storagedriver_filesystem._config import FilesystemConfig
from storagedriver_filesystem._driver import FilesystemDriver
from storagedriver_filesystem._syncing import Queue

Opener = Callable[[], AbstractAsyncContextManager[FilesystemDriver]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give the root directory, which exists."""
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def opened(root: Path) -> Opener:
    """Give what opens a new driver on the root."""

    @asynccontextmanager
    async def open_driver() -> AsyncIterator[FilesystemDriver]:
        driver = FilesystemDriver(FilesystemConfig(root_directory=root))
        await driver.open()
        try:
            yield driver
        finally:
            await driver.aclose()

    return open_driver


@pytest.fixture
def start_log(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], CallLog]:
    """Give what begins to record the system calls below the root."""
    return lambda: CallLog(root, monkeypatch)


class CallLog:
    """Records the calls of `os` that change or sync what is below a root, in order.

    Attributes:
        calls: Such as `("fsync", "/a")`; staging files are called `staged`.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, ...]] = []
        self._root = str(root)
        for name in ("pwritev", "fsync", "ftruncate", "setxattr"):
            self._wrap(monkeypatch, name, lambda args, _: (self._place(args[0]),))
        self._note_syncs_together(monkeypatch)
        for name in ("mkdir", "rmdir", "unlink"):
            self._wrap(monkeypatch, name, lambda args, keys: (self._join(keys["dir_fd"], args[0]),))
        self._wrap(
            monkeypatch,
            "rename",
            lambda args, keys: (
                self._join(keys["src_dir_fd"], args[0]),
                self._join(keys["dst_dir_fd"], args[1]),
            ),
        )

    def index(self, *call: str) -> int:
        """Give the place of a call that was made once."""
        assert self.calls.count(call) == 1, f"{call} in {self.calls}"
        return self.calls.index(call)

    def _wrap(
        self, monkeypatch: pytest.MonkeyPatch, name: str, where: Callable[[Any, Any], Any]
    ) -> None:
        original = getattr(os, name)

        def recorded(*args: Any, **keys: Any) -> Any:
            entry = (name, *where(args, keys))
            result = original(*args, **keys)
            self.calls.append(entry)
            return result

        monkeypatch.setattr(os, name, recorded)

    def _note_syncs_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = Queue.sync

        def recorded(queue: Queue, descriptors: Sequence[int]) -> list[int]:
            entries = [("fsync", self._place(fd)) for fd in descriptors]
            codes = original(queue, descriptors)
            self.calls += entries
            return codes

        monkeypatch.setattr(Queue, "sync", recorded)

    def _place(self, fd: int) -> str:
        path = os.readlink(f"/proc/self/fd/{fd}").removeprefix(self._root)
        staged = path.startswith("/.storagedriver/uploads/")
        return "staged" if staged else path or "/"

    def _join(self, directory: int, name: str) -> str:
        above = self._place(directory)
        return "staged" if above == "/.storagedriver/uploads" else f"{above.rstrip('/')}/{name}"
