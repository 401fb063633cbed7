"""The conformance suite's harness for this driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from storagedriver_testsuite import Harness

from storagedriver_core import FileInfo, StorageDriver
from storagedriver_inmemory._config import InMemoryConfig
from storagedriver_inmemory._driver import InMemoryDriver
from storagedriver_inmemory._store import Store


class CountingStore(Store):
    """A store that counts how often it is asked for many names.

    Attributes:
        listings: Calls so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listings = 0

    def children(self, path: str, after: str | None, count: int) -> list[FileInfo]:
        self.listings += 1
        return super().children(path, after, count)

    def below(self, path: str, after: str | None, count: int) -> list[FileInfo]:
        self.listings += 1
        return super().below(path, after, count)


class InMemoryHarness(Harness):
    """One `Store`, looked into directly.

    Args:
        directory: Not used.
        parameters: The driver's, which takes none.
    """

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        self._config = InMemoryConfig.model_validate(parameters or {})
        self._store = CountingStore()

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
    def removed_store(self) -> Iterator[None]:
        self._store.exists = False
        try:
            yield
        finally:
            self._store.exists = True

    def list_requests(self) -> int:
        return self._store.listings

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        return [({"colour": "red"}, "colour")]
