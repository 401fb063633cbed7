"""Uploads that another run can go on with: a file for each, until it is over.

A location may let its holder write, so that the files are their owner's alone. A file is locked
while a process is at work on its upload: two would disturb each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_logger = logging.getLogger(__name__)

_KEPT_SECONDS = 7 * 24 * 3600
"""Longer than registries keep uploads that nobody goes on with."""


def default_folder() -> Path:
    """Give the folder for the journal: `$XDG_CACHE_HOME/storagedriver/uploads`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "storagedriver" / "uploads"


class Entry:
    """What is kept of one upload, by a process that has it to itself."""

    def __init__(self, path: Path | None, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def read(self) -> dict[str, str]:
        """Give what was written last; empty if nothing, or it makes no sense."""
        if self._path is None:
            return {}
        try:
            document = json.loads(os.pread(self._descriptor, 1 << 22, 0))
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def write(self, **values: str) -> None:
        """Keep this, instead of what was before."""
        if self._path is not None:
            data = json.dumps(values).encode()
            # What a kill leaves half-written makes no sense, and counts as nothing.
            # So does what a full disk does not take: the upload itself is not to fail for it.
            with suppress(OSError):
                os.pwrite(self._descriptor, data, 0)
                os.ftruncate(self._descriptor, len(data))

    def remove(self) -> None:
        """Keep nothing: the upload is over."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


class Journal:
    """The uploads of one user.

    Args:
        folder: Where the files are; made when there is a first one. By default in the cache of
            the user. Where nothing can be written, nothing is kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @contextmanager
    def entry(self, *key: str) -> Iterator[Entry]:
        """Give the entry of an upload. If another process has it, one that keeps nothing.

        Args:
            key: What tells the upload from others.
        """
        name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:32]
        opened = self._opened(f"{name}.json")
        if opened is None:
            yield Entry(None, -1)
            return
        path, descriptor = opened
        try:
            entry = Entry(path if _is_locked(descriptor, path) else None, descriptor)
            try:
                yield entry
            finally:
                # Whoever opens the file at this moment makes another one.
                if entry.read() == {}:
                    entry.remove()
        finally:
            os.close(descriptor)

    def _opened(self, name: str) -> tuple[Path, int] | None:
        try:
            folder = self._folder or default_folder()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _clear(folder)
            path = folder / name
            return path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, RuntimeError) as error:
            # RuntimeError: the user has no home.
            _logger.info("uploads are not kept for another run: %s", error)
            return None


def _clear(folder: Path) -> None:
    """Remove what nobody will go on with."""
    for path in folder.glob("*.json"):
        # Another process may be quicker.
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                path.unlink()


def _is_locked(descriptor: int, path: Path) -> bool:
    """Lock the file; tell whether it is ours, and still there."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except OSError:
        return False
