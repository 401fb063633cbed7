"""The conformance suite's harness: another driver's harness, in a process that serves its drivers.

Its parameters name the other driver, `{"behind": "inmemory"}`, and how the server is reached:
`{"transport": "tcp"}`, which lets the cases of faults on the way run, or `unix`.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storagedriver_testsuite import ExtraRequests, Harness

from storagedriver_core import StorageDriver
from storagedriver_remote._config import RemoteConfig
from storagedriver_remote._driver import RemoteDriver

_TOKENS = ["the-first-of-the-suite", "the-second-of-the-suite"]


class RunningBackDoor:
    """The process with the stores, which lasts as long as this one."""

    _instance: RunningBackDoor | None = None

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix="storagedriver-remote-")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "storagedriver_remote._back_door", self._directory],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.connect(f"{self._directory}/orders")
        self._answers = self._connection.makefile("rb")
        atexit.register(self._stop)

    @classmethod
    def get(cls) -> RunningBackDoor:
        """Give the process of this session."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def order(self, do: str, **arguments: Any) -> Any:
        """Have something done there, and give what comes of it."""
        self._connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
        said = json.loads(self._answers.readline())
        if "error" in said:
            raise AssertionError(f"{do}: {said['error']}")
        return said["result"]

    def _stop(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self._answers.close()
        self._connection.close()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


class RemoteHarness(Harness):
    """A store of another driver's harness, behind a server.

    Args:
        directory: Not used: the store is the other process's.
        parameters: `behind`, the other driver's name, and `transport`, `tcp` or `unix`.
    """

    is_remote = True
    extra_requests = ExtraRequests("who has committed tells the server to let go", commit=1)

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        given = dict(parameters or {})
        self._is_tcp = given.get("transport", "tcp") == "tcp"
        self._there = RunningBackDoor.get()
        tokens = _TOKENS if self._is_tcp else []
        made = self._there.order("make", driver=given.get("behind", "inmemory"), tokens=tokens)
        self._number: int = made["number"]
        self._capabilities: dict[str, Any] = made["capabilities"]
        self._offers = set(made["offers"])
        self.keys_per_delete = 1000
        self._addresses: dict[str, str] = {}

    def _order(self, do: str, **arguments: Any) -> Any:
        return self._there.order(do, number=self._number, **{"with": arguments})

    def offers(self, method: str) -> bool:
        if method in ("upstream_url", "proxied_driver", "rotated_driver", "unauthenticated_driver"):
            return self._is_tcp
        if method in ("parameters", "bad_parameters"):
            return True
        return super().offers(method) and method in self._offers

    async def start(self) -> None:
        self._addresses = self._order("start")

    async def stop(self) -> None:
        self._order("stop")

    def _driver(self, address: str, token: str = _TOKENS[0]) -> StorageDriver:
        return RemoteDriver(RemoteConfig.model_validate(self._configured(address, token)))

    def _configured(self, address: str, token: str = _TOKENS[0]) -> dict[str, Any]:
        found: dict[str, Any] = {"connect": address, "capabilities": self._capabilities}
        return {**found, "token": token} if self._is_tcp else found

    def driver(self) -> StorageDriver:
        return self._driver(self._addresses.get("driver", "unix:/not-started"))

    def missing_driver(self) -> StorageDriver:
        return self._elsewhere("missing_driver")

    def other_root_driver(self) -> StorageDriver:
        return self._elsewhere("other_root_driver")

    def _elsewhere(self, name: str) -> StorageDriver:
        # What it can do may differ, as how long a path may be, and is told at the opening.
        configured = self._configured(self._addresses[name])
        return RemoteDriver(RemoteConfig.model_validate({**configured, "capabilities": None}))

    def rotated_driver(self) -> StorageDriver:
        return self._driver(self._addresses["driver"], _TOKENS[1])

    def unauthenticated_driver(self) -> StorageDriver:
        return self._driver(self._addresses["driver"], "another")

    def upstream_url(self) -> str:
        return self._addresses["driver"]

    def proxied_driver(self, url: str) -> StorageDriver:
        return self._driver(url)

    async def raw_list(self) -> Sequence[str]:
        return [str(name) for name in self._order("raw_list")]

    async def raw_uploads(self) -> Sequence[str]:
        return [str(name) for name in self._order("raw_uploads")]

    async def raw_get(self, path: str) -> bytes:
        return base64.b64decode(self._order("raw_get", path=path))

    async def raw_put(self, path: str, data: bytes) -> None:
        self._order("raw_put", path=path, data=base64.b64encode(data).decode())

    async def plant_link(self, path: str, target: str) -> None:
        self._order("plant_link", path=path, target=target)

    async def plant_directory(self, path: str) -> None:
        self._order("plant_directory", path=path)

    def list_requests(self) -> int:
        return int(self._order("list_requests"))

    @contextmanager
    def full_store(self) -> Iterator[None]:
        with self._while("full_store"):
            yield

    @contextmanager
    def read_only_store(self) -> Iterator[None]:
        with self._while("read_only_store"):
            yield

    @contextmanager
    def removed_store(self) -> Iterator[None]:
        with self._while("removed_store"):
            yield

    @contextmanager
    def undeletable(self, path: str) -> Iterator[None]:
        with self._while("undeletable", path=path):
            yield

    @contextmanager
    def _while(self, state: str, **arguments: Any) -> Iterator[None]:
        self._order("enter", state=state, arguments=arguments)
        try:
            yield
        finally:
            self._order("leave", state=state)

    def parameters(self) -> Mapping[str, object]:
        return self._configured(self._addresses["driver"])

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        return [
            ({}, "connect"),
            ({"connect": "unix:/a", "program": "nodejs"}, "program"),
            ({"connect": "ftp://there"}, "connect"),
            ({"connect": "http://me:hidden@there:80"}, "connect"),
            ({"connect": "http://there:99999"}, "connect"),
            ({"program": "../evil"}, "program"),
            ({"connect": "unix:/a", "start_seconds": 0}, "start_seconds"),
            ({"connect": "unix:/a", "capabilities": {"get_range": 7}}, "capabilities"),
            ({"connect": "unix:/a", "colour": "red"}, "colour"),
        ]
