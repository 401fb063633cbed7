"""The conformance suite's harness for this driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storagedriver_testsuite import Harness

from storagedriver_core import (
    FileInfo,
    NoSpaceError,
    PermissionDeniedError,
    StorageDriver,
    UploadOptions,
)
from storagedriver_inmemory._config import InMemoryConfig
from storagedriver_inmemory._driver import InMemoryDriver
from storagedriver_inmemory._store import PendingUpload, Store


class HarnessStore(Store):
    """A store that counts how often it is asked for many names, and can refuse to change.

    Attributes:
        listings: Calls so far.
        full: Whether it refuses to grow.
        read_only: Whether it refuses every change.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listings = 0
        self.full = False
        self.read_only = False

    def children(self, path: str, after: str | None, count: int) -> list[FileInfo]:
        self.listings += 1
        return super().children(path, after, count)

    def below(self, path: str, after: str | None, count: int) -> list[FileInfo]:
        self.listings += 1
        return super().below(path, after, count)

    def put(self, path: str, data: bytes, **options: Any) -> FileInfo:
        self._require_room()
        return super().put(path, data, **options)

    def move(self, source: str, target: str, *, if_absent: bool) -> None:
        self._require_change()
        super().move(source, target, if_absent=if_absent)

    def delete(self, path: str) -> None:
        self._require_change()
        super().delete(path)

    def open_upload(self, path: str, holder: str, options: UploadOptions) -> str:
        self._require_change()
        return super().open_upload(path, holder, options)

    def upload(self, upload_id: str, holder: str | None = None) -> PendingUpload:
        if holder is not None:  # who asks so is about to write
            self._require_room()
        return super().upload(upload_id, holder)

    def abort_upload(self, upload_id: str, holder: str) -> None:
        self._require_change()
        super().abort_upload(upload_id, holder)

    def _require_change(self) -> None:
        if self.read_only:
            raise PermissionDeniedError

    def _require_room(self) -> None:
        self._require_change()
        if self.full:
            raise NoSpaceError


class InMemoryHarness(Harness):
    """One `Store`, looked into directly.

    Args:
        directory: Not used.
        parameters: The driver's, which takes none.
    """

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        self._config = InMemoryConfig.model_validate(parameters or {})
        self._store = HarnessStore()

    def driver(self) -> StorageDriver:
        return InMemoryDriver(self._config, store=self._store)

    async def raw_list(self) -> Sequence[str]:
        return [*self._store.paths(), *await self.raw_uploads()]

    async def raw_uploads(self) -> Sequence[str]:
        return [upload_id for upload_id, _ in self._store.uploads()]

    async def raw_get(self, path: str) -> bytes:
        return self._store.get(path).data

    async def raw_put(self, path: str, data: bytes) -> None:
        self._store.put(path, data)

    def missing_driver(self) -> StorageDriver:
        return InMemoryDriver(store=Store(exists=False))

    def other_root_driver(self) -> StorageDriver:
        return InMemoryDriver(store=Store())

    @contextmanager
    def full_store(self) -> Iterator[None]:
        self._store.full = True
        try:
            yield
        finally:
            self._store.full = False

    @contextmanager
    def read_only_store(self) -> Iterator[None]:
        self._store.read_only = True
        try:
            yield
        finally:
            self._store.read_only = False

    @contextmanager
    def removed_store(self) -> Iterator[None]:
        self._store.exists = False
        try:
            yield
        finally:
            self._store.exists = True

    def list_requests(self) -> int:
        return self._store.listings

    def parameters(self) -> Mapping[str, object]:
        return {}

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        return [({"colour": "red"}, "colour")]
