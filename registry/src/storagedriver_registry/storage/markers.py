"""Markers of garbage: small files, each about one blob, or one revision of a repository.

```text
  (none), kept ──► suspect ──► condemned ──► sweeping ──► swept
        ▲              │           │                        │
        └──────────────┴───────────┴────────────────────────┘   somebody needs it
```

Every step replaces the very marker that was read, and fails if another process was faster: of a
collector that sweeps and a push that keeps, one wins, and both know which. `garbage` says who does
what, and why that is safe.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum

from storagedriver_core import (
    AlreadyExistsError,
    ConflictError,
    FileInfo,
    PathNotFoundError,
    Storage,
    StorageDriverError,
)
from storagedriver_registry.storage import paths


class State(StrEnum):
    """What is said of a blob or revision."""

    KEPT = "kept"
    """Somebody needs it; as good as no marker."""

    SUSPECT = "suspect"
    """Nothing named it in a scan that began before the marker was written."""

    CONDEMNED = "condemned"
    """Nor in one that began afterwards. Clients are told that it is not there."""

    SWEEPING = "sweeping"
    """It is being deleted, and nobody can keep it any more."""

    SWEPT = "swept"
    """It was deleted. Whoever stores it anew says so."""


@dataclass(frozen=True, slots=True)
class Marker:
    """One marker as it was read.

    Attributes:
        path: Where it is.
        state: What it says.
        word: Differs for each marker that is written.
        etag: Names this version of it.
    """

    path: str
    state: State
    word: str
    etag: str | None


def can_mark(storage: Storage) -> bool:
    """Tell whether a store can be collected beside servers at work: it has to compare."""
    declared = storage.capabilities
    return (
        declared.put_if_match
        and declared.put_if_absent
        and declared.fresh_reads
        and declared.list_after_write
    )


class Markers:
    """The markers of one store that compares.

    Args:
        storage: Where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def read(self, path: str) -> Marker | None:
        """Give a marker; None if there is none."""
        try:
            async with await self._storage.reader(path) as reader:
                content = b"".join([chunk async for chunk in reader])
                etag = reader.info.etag
        except PathNotFoundError:
            return None
        state, _, word = content.decode("latin-1").partition(" ")
        try:
            return Marker(path, State(state), word, etag)
        except ValueError:
            raise StorageDriverError("the marker of garbage cannot be read", path=path) from None

    async def add(self, path: str, state: State) -> Marker | None:
        """Write a marker where there is none; None if there is one."""
        marker = Marker(path, state, secrets.token_hex(8), None)
        try:
            info = await self._storage.put_content(path, _content(marker), if_absent=True)
        except AlreadyExistsError:
            return None
        return Marker(path, state, marker.word, info.etag)

    async def replace(self, marker: Marker, state: State) -> Marker | None:
        """Let a marker say something else; None if it is no longer the one that was read."""
        new = Marker(marker.path, state, secrets.token_hex(8), None)
        try:
            info = await self._storage.put_content(marker.path, _content(new), if_match=marker.etag)
        except (ConflictError, PathNotFoundError):
            return None
        return Marker(marker.path, state, new.word, info.etag)

    async def remove(self, path: str) -> None:
        """Delete a marker, if it is there. Only a collector does, and there is one at a time."""
        await self._storage.delete_many([path])

    async def all(self) -> AsyncGenerator[FileInfo, None]:
        """Give the file of every marker."""
        for directory in (paths.CONDEMNED_BLOBS, paths.CONDEMNED_REVISIONS):
            try:
                async for info in self._storage.walk(directory):
                    yield info
            except PathNotFoundError:
                pass


def _content(marker: Marker) -> bytes:
    return f"{marker.state} {marker.word}".encode()
