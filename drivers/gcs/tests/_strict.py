"""The harness on the strict fake, which can tell and do more than Google's service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storagedriver_gcs._driver import GcsDriver
from storagedriver_gcs.harness import GcsHarness

from servers.strict_gcs import StrictGcs
from storagedriver_core import StorageDriver

BUCKET = "conformance"


class StrictHarness(GcsHarness):
    """One new directory of the fake's bucket."""

    def __init__(self, directory: Path, server: StrictGcs, **changes: object) -> None:
        server.create_bucket(BUCKET)
        parameters = {"bucket": BUCKET, "endpoint": server.url, "keyfile": str(server.key_file)}
        super().__init__(directory, {**parameters, **changes})
        self.server = server

    async def raw_uploads(self) -> Sequence[str]:
        state = self.server.control("state")
        prefix = self.config.prefix
        return [each["name"] for each in state["sessions"] if each["name"].startswith(prefix)]

    def rotated_driver(self) -> StorageDriver:
        return GcsDriver(self._changed(keyfile=str(self.server.rotated_key_file)))

    def unauthenticated_driver(self) -> StorageDriver:
        return GcsDriver(self._changed(keyfile=str(self.server.stranger_key_file)))

    def list_requests(self) -> int:
        return int(self.server.control("state")["listings"])

    @contextmanager
    def read_only_store(self) -> Iterator[None]:
        self.server.control("read_only", on=True)
        try:
            yield
        finally:
            self.server.control("read_only", on=False)

    @contextmanager
    def removed_store(self) -> Iterator[None]:
        self.server.control("hide", bucket=BUCKET, on=True)
        try:
            yield
        finally:
            self.server.control("hide", bucket=BUCKET, on=False)

    @contextmanager
    def undeletable(self, path: str) -> Iterator[None]:
        self.server.control("undeletable", names=[f"{self.config.prefix}{path[1:]}"])
        try:
            yield
        finally:
            self.server.control("undeletable", names=[])
