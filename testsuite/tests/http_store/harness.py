"""The harness of the store: one server for the whole test session, one bucket for each test."""

from __future__ import annotations

import atexit
import base64
import http.client
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storagedriver_testsuite import Answer, Harness

from storagedriver_core import StorageDriver

from .driver import HttpDriver

assert __package__ is not None
ROOT = Path(__file__).parents[len(__package__.split("."))]
# Processes of cases import the driver by the name that pytest gave its module.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))


class RunningServer:
    """The server's process, which lasts as long as this one."""

    _instance: RunningServer | None = None
    _names = itertools.count(1)

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.server"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        atexit.register(self._stop)

    @classmethod
    def get(cls) -> RunningServer:
        """Give the session's server."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def new_bucket(self) -> str:
        return f"bucket-{next(self._names)}"

    def control(self, **order: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("POST", "/!control", json.dumps(order))
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise AssertionError(f"the server refused: {value}")
        return value

    def _stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def harness_of(driver_class: type[HttpDriver]) -> type[HttpHarness]:
    """Give the harness of another driver of the same store."""
    return type(f"{driver_class.__name__}Harness", (HttpHarness,), {"driver_class": driver_class})


class HttpHarness(Harness):
    """A bucket of its own on the session's server.

    Args:
        directory: Not used.
        parameters: Not used.
    """

    is_remote = True
    keys_per_delete = 1000
    driver_class: type[HttpDriver] = HttpDriver

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        self._server = RunningServer.get()
        self._bucket = self._server.new_bucket()

    async def start(self) -> None:
        self._server.control(make=self._bucket)
        self._server.control(make=f"{self._bucket}-other")

    async def stop(self) -> None:
        self._server.control(drop=self._bucket)
        self._server.control(drop=f"{self._bucket}-other")

    def driver(self) -> StorageDriver:
        return self._driver()

    def _driver(self, url: str = "", bucket: str = "", **options: Any) -> StorageDriver:
        return self.driver_class(url or self._server.url, bucket or self._bucket, **options)

    async def raw_list(self) -> Sequence[str]:
        return [str(name) for name in self._control("list")]

    async def raw_uploads(self) -> Sequence[str]:
        return [str(name) for name in self._control("uploads")]

    async def raw_get(self, path: str) -> bytes:
        return base64.b64decode(self._control("get", path=path))

    async def raw_put(self, path: str, data: bytes) -> None:
        self._control("put", path=path, data=base64.b64encode(data).decode())

    def _control(self, do: str, **order: Any) -> Any:
        return self._server.control(do=do, bucket=self._bucket, **order)

    def missing_driver(self) -> StorageDriver:
        return self._driver(bucket="no-such-bucket")

    def other_root_driver(self) -> StorageDriver:
        return self._driver(bucket=f"{self._bucket}-other")

    @contextmanager
    def full_store(self) -> Iterator[None]:
        with self._while("full"):
            yield

    @contextmanager
    def read_only_store(self) -> Iterator[None]:
        with self._while("read_only"):
            yield

    @contextmanager
    def removed_store(self) -> Iterator[None]:
        with self._while("removed"):
            yield

    @contextmanager
    def undeletable(self, path: str) -> Iterator[None]:
        self._server.control(undeletable=path)
        try:
            yield
        finally:
            self._server.control(undeletable="")

    @contextmanager
    def _while(self, state: str) -> Iterator[None]:
        self._server.control(**{state: True})
        try:
            yield
        finally:
            self._server.control(**{state: False})

    def upstream_url(self) -> str:
        return self._server.url

    def proxied_driver(self, url: str) -> StorageDriver:
        return self._driver(url)

    def public_driver(self, url: str) -> StorageDriver:
        return self._driver(public=url)

    def rotated_driver(self) -> StorageDriver:
        return self._driver(key="second")

    def unauthenticated_driver(self) -> StorageDriver:
        return self._driver(secret=b"wrong")

    def commit_error_answer(self) -> Answer:
        body = json.dumps({"error": "InternalError"}).encode()
        return Answer(r"^POST .*upload=(?!.*take)", headers={"X-Store": "1"}, body=body)

    def session_faults(self) -> Mapping[str, Answer]:
        gone = json.dumps({"error": "UploadNotFoundError"}).encode()
        return {"expired": Answer(r"upload=", 404, {"X-Store": "1"}, gone)}

    async def discard_parts(self, path: str, data: bytes) -> None:
        self._control("discard", path=path, data=base64.b64encode(data).decode())

    def undeletable_answer(self, path: str) -> Answer:
        refused = {"deleted": [], "missing": [], "failed": {path: "PermissionDeniedError"}}
        return Answer(
            r"^POST .*\?delete", headers={"X-Store": "1"}, body=json.dumps(refused).encode()
        )
