"""fake-gcs-server: Google Cloud Storage's JSON and XML interfaces, without authentication."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers._http import request
from servers._process import HOST, Server


class FakeGcs(Server):
    """fake-gcs-server.

    Args:
        directory: For its data and log.
        on_disk: Keep what is stored in files, for what does not fit in memory, and to find it again
            after a restart.
    """

    program: ClassVar[str] = "fake-gcs-server"

    def __init__(self, directory: Path, *, on_disk: bool = False) -> None:
        super().__init__(directory)
        self._on_disk = on_disk

    def arguments(self) -> Sequence[str]:
        """Give the options."""
        place = ["-backend", "memory"]
        if self._on_disk:
            place = ["-backend", "filesystem", "-filesystem-root", str(self.directory / "data")]
        address = ["-scheme", "http", "-host", HOST, "-port", str(self.port)]
        # What it says in Location headers and download links.
        public = ["-external-url", self.url, "-public-host", f"{HOST}:{self.port}"]
        # Without -data it looks for objects to load in a directory of the machine.
        empty = ["-data", str(self.directory / "nothing")]
        return [*address, *place, *public, *empty, "-log-level", "warn"]

    def environment(self) -> Mapping[str, str]:
        """Keep clients' own variable away from the server."""
        return {"STORAGE_EMULATOR_HOST": ""}

    def is_ready(self) -> bool:
        """Say whether it lists buckets."""
        return request("GET", self._buckets).is_success

    @property
    def _buckets(self) -> str:
        return f"{self.url}/storage/v1/b?project=test"

    def create_bucket(self, name: str) -> None:
        """Make a bucket.

        Raises:
            OSError: It exists, or the server refuses.
        """
        body = json.dumps({"name": name}).encode()
        request("POST", self._buckets, body, {"content-type": "application/json"}).check()
