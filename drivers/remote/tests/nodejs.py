"""The example in Node.js, run for the whole session, and the harness of its directory."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storagedriver_remote._client import Client
from storagedriver_remote._config import RemoteConfig
from storagedriver_remote._driver import RemoteDriver
from storagedriver_testsuite import Harness

from storagedriver_core import StorageDriver

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "registry-storagedriver-nodejs"
PROGRAMS = ROOT / ".services" / "bin"
PATIENCE_SECONDS = 30.0


def environment() -> dict[str, str]:
    """Give the variables with which the example and its Node.js are found."""
    path = os.pathsep.join([str(EXAMPLE), str(PROGRAMS), os.environ["PATH"]])
    return {**os.environ, "PATH": path}


class RunningNode:
    """The program, as the driver starts it, on one directory that tests use after one another."""

    _instance: RunningNode | None = None

    def __init__(self) -> None:
        self._home = tempfile.mkdtemp(prefix="storagedriver-nodejs-")
        self.directory = Path(self._home, "store")
        self.address = f"unix:{self._home}/socket"
        order = {
            "version": 1,
            "listen": self.address,
            "parameters": {"directory": str(self.directory)},
        }
        self._process = subprocess.Popen(
            ["registry-storagedriver-nodejs"],
            executable=str(EXAMPLE / "registry-storagedriver-nodejs"),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        assert json.loads(self._process.stdout.readline()) == {"ready": True}
        atexit.register(self._stop)

    @classmethod
    def get(cls) -> RunningNode:
        """Give the session's program."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def _stop(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)


class NodeHarness(Harness):
    """The directory, by plain system calls.

    Args:
        capabilities: As the program declares them.
    """

    is_remote = True

    def __init__(self, capabilities: Mapping[str, Any]) -> None:
        self._node = RunningNode.get()
        self._capabilities = dict(capabilities)
        self._root = self._node.directory

    async def start(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()

    async def stop(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def driver(self) -> StorageDriver:
        return RemoteDriver(RemoteConfig.model_validate(self.parameters()))

    def parameters(self) -> Mapping[str, object]:
        return {"connect": self._node.address, "capabilities": self._capabilities}

    async def _settled(self) -> None:
        """Wait until what was cancelled in the middle of a put has ended there, too."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        uploads = self._root / ".storagedriver" / "uploads"
        while any(map(_is_put, uploads.glob("*"))) and time.monotonic() < deadline:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.005)

    async def raw_list(self) -> Sequence[str]:
        await self._settled()
        own = "/.storagedriver/"
        found = []
        for directory, _, files in os.walk(self._root):
            here = directory[len(str(self._root)) :] + "/"
            found += [here + name for name in files if not here.startswith(own)]
        return [*found, *await self.raw_uploads(), *self._internal()]

    def _internal(self) -> list[str]:
        """Name what is the driver's own beside uploads: nothing, but for what was forgotten."""
        own = self._root / ".storagedriver"
        files = [path for path in own.rglob("*") if path.is_file()]
        return [
            f"/{path.relative_to(self._root)}"
            for path in files
            if not path.is_relative_to(own / "uploads")
        ]

    async def raw_uploads(self) -> Sequence[str]:
        await self._settled()
        uploads = self._root / ".storagedriver" / "uploads"
        return [path.name for path in uploads.iterdir()] if uploads.exists() else []

    async def raw_get(self, path: str) -> bytes:
        return Path(f"{self._root}{path}").read_bytes()

    async def raw_put(self, path: str, data: bytes) -> None:
        # Whoever has the old file open keeps it.
        made = self._root.parent / "made"
        made.write_bytes(data)
        target = Path(f"{self._root}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)

    @contextmanager
    def removed_store(self) -> Iterator[None]:
        away = self._root.with_name("away")
        self._root.rename(away)
        try:
            yield
        finally:
            shutil.rmtree(self._root, ignore_errors=True)
            away.rename(self._root)


def declared() -> Mapping[str, Any]:
    """Ask the program what it can do."""

    async def ask() -> Mapping[str, Any]:
        client = Client(RunningNode.get().address, "")
        await client.open()
        try:
            capabilities: Mapping[str, Any] = (await client.handshake())["capabilities"]
            return capabilities
        finally:
            await client.aclose()

    return asyncio.run(ask())


def _is_put(upload: Path) -> bool:
    """Tell whether it is a put on its way, or has only just begun and may be one."""
    try:
        return "is_put" in Path(upload, "info.json").read_text()
    except FileNotFoundError:
        return upload.exists()
