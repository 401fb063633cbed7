"""The strict fake of Google Cloud Storage, which lies in `testsuite/tests/strict_gcs`. A fake."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from servers._http import request
from servers._process import Server

ROOT = Path(__file__).resolve().parent.parent


class StrictGcs(Server):
    """The fake, which checks tokens, signatures, sessions and preconditions.

    Attributes:
        key_file: Key of the service account that may do everything.
        rotated_key_file: Key of another such account.
        stranger_key_file: Key of an account that the server does not know.
    """

    program: ClassVar[str] = "python"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.key_file = self.directory / "writer.json"
        self.rotated_key_file = self.directory / "rotated.json"
        self.stranger_key_file = self.directory / "stranger.json"

    def executable(self) -> str:
        """Give this interpreter: the fake is Python."""
        return sys.executable

    def arguments(self) -> Sequence[str]:
        """Give the options."""
        return ["-m", "testsuite.tests.strict_gcs", str(self.directory), str(self.port)]

    def environment(self) -> Mapping[str, str]:
        """Let it be imported from the workspace."""
        return {"PYTHONPATH": str(ROOT), "STORAGE_EMULATOR_HOST": ""}

    def is_ready(self) -> bool:
        """Say whether it answers."""
        return request("GET", f"{self.url}/_control/state").is_success

    def facts(self) -> Mapping[str, str]:
        """Give what a person needs to use it."""
        return {**super().facts(), "key_file": str(self.key_file)}

    def control(self, name: str, **order: Any) -> dict[str, Any]:
        """Ask the fake for something; see its README for the names.

        Raises:
            OSError: It does not know that.
        """
        answer = request("POST", f"{self.url}/_control/{name}", json.dumps(order).encode())
        answer.check()
        given: dict[str, Any] = json.loads(answer.body)
        return given

    def create_bucket(self, name: str) -> None:
        """Make a bucket; nothing happens if it is there."""
        self.control("create_bucket", bucket=name)
