"""The example of `docs/examples/flask`, as real servers run it."""

from __future__ import annotations

import http.client
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from servers._process import HOST, Server
from storagedriver_core import SyncStorage, open_storage
from storagedriver_core.tests.waiting import SECONDS

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "flask"
APPLICATION = 'files_app:create_app("storage.yml")'


class FlaskFiles(Server):
    """The example, served in a process of its own; its files are below `directory`."""

    start_seconds: ClassVar[float] = SECONDS
    stop_seconds: ClassVar[float] = SECONDS

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.files = self.directory / "files"
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLE / "storage.yml", self.directory)

    def executable(self) -> str:
        """Give the interpreter that has Flask."""
        return sys.executable

    def environment(self) -> Mapping[str, str]:
        """Let it find the example, and say at once what it logs."""
        return {
            "PYTHONPATH": str(EXAMPLE),
            "PYTHONUNBUFFERED": "1",
            "FILES_DIRECTORY": str(self.files),
        }

    def is_ready(self) -> bool:
        """Ask for the files."""
        return Client(self.port).request("GET", "/files/")[0] == 200

    def storage(self) -> SyncStorage:
        """Give the storage that it uses, to look at what is there; unopened."""
        parameters = {"root_directory": str(self.files)}
        return SyncStorage(
            open_storage({"storage": {"driver": "filesystem", "parameters": parameters}})
        )

    def holds_open(self, path: str) -> bool:
        """Tell whether one of its processes has a file open."""
        wanted = str(self.files / path)
        for process in self.family():
            try:
                if wanted in [opened.path for opened in process.open_files()]:
                    return True
            except psutil.Error:  # it has ended
                continue
        return False

    def family(self) -> list[psutil.Process]:
        """Give all of its processes, but not the one that watches it."""
        assert self.pid is not None
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]


class DevelopmentServer(FlaskFiles):
    """`flask run`: one process with a thread for each request."""

    def arguments(self) -> Sequence[str]:
        """Say where."""
        return [
            "-m",
            "flask",
            "--app",
            APPLICATION,
            "run",
            "--host",
            HOST,
            "--port",
            str(self.port),
        ]


class Gunicorn(FlaskFiles):
    """`gunicorn` with two workers, forked when the application is there already."""

    def arguments(self) -> Sequence[str]:
        """Say where."""
        settings = ["--config", str(EXAMPLE / "gunicorn.conf.py")]
        return ["-m", "gunicorn", *settings, "--bind", f"{HOST}:{self.port}", APPLICATION]


class Client:
    """Makes requests, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connect(self) -> http.client.HTTPConnection:
        """Give a connection."""
        return http.client.HTTPConnection(HOST, self._port, timeout=SECONDS)

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Give status, content and headers; `_` in a header's name stands for `-`."""
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()
