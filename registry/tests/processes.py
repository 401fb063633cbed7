"""Server processes, ours and docker-registry, on free ports of the loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import yaml

from servers._ports import Ports

REGISTRY = str(Path(sys.executable).with_name("registry"))
_START_SECONDS = 120
_STOP_SECONDS = 60

# Each claim is a descriptor.
_MOST_CLAIMED = 100
_claimed: deque[Ports] = deque()


def free_port() -> int:
    """Give a port that nobody else takes: neither a test beside this one nor a client.

    It is claimed until many others were given, so that it may also be one where nobody is to be.
    """
    _claimed.append(Ports(1))
    if len(_claimed) > _MOST_CLAIMED:
        _claimed.popleft().release()
    return _claimed[-1].numbers[0]


def kill_with_workers(process: subprocess.Popen[bytes]) -> None:
    """Kill a server and the processes below it, at once, and wait until they are gone."""
    workers: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    process.wait()
    psutil.wait_procs(workers)


class ServerProcess:
    """One server on one directory; started, killed and started again on the same port.

    Args:
        command: What starts it.
        port: Where it listens.
        data: The directory.
        log: Where its log goes.
        authority: Certificate of the authority that signed its own; None if it speaks plain http.
        environment: Variables.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        data: Path,
        log: Path,
        *,
        authority: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.host = f"127.0.0.1:{port}"
        self.url = f"{'http' if authority is None else 'https'}://{self.host}"
        self._authority = authority
        self._command = command
        self._log = log
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_docker_registry(self) -> bool:
        return self._command[0] != REGISTRY

    @property
    def config(self) -> Path:
        return Path(self._command[-1])

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        environment = os.environ | {"OTEL_TRACES_EXPORTER": "none"} | self._environment
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        verify = ssl.create_default_context(cafile=self._authority)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                # With authentication on, a challenge is an answer too; of a token server, 404 is.
                if self._is_announced(begin) and httpx.get(
                    f"{self.url}/v2/", verify=verify
                ).status_code in (200, 401, 404):
                    return
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the server did not start:\n{self.log}")

    def _is_announced(self, begin: int) -> bool:
        """Tell whether it has said that it serves: who answers may be somebody else until then."""
        return self.is_docker_registry or b"serving " in self._log.read_bytes()[begin:]

    def kill(self) -> None:
        kill_with_workers(self.process)

    def stop(self) -> int:
        """Ask it to end, and give its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)


ServerT = TypeVar("ServerT", bound=ServerProcess)


@contextlib.contextmanager
def running(server: ServerT) -> Iterator[ServerT]:
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def our_server(
    folder: Path,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    *,
    store: Mapping[str, object] | None = None,
    port: int | None = None,
    authority: Path | None = None,
) -> ServerProcess:
    """Give our server, not started.

    Args:
        folder: For its files.
        settings: Keys of the sections.
        store: The driver's key with its parameters; by default files below `folder/data`.
        port: Where it listens; by default a free one.
        authority: Certificate of the authority that signed its own, if it has one.
    """
    port, data = port or free_port(), folder / "data"
    sections: dict[str, Mapping[str, object]] = {
        "log": {"level": "warn"},
        "storage": {
            **(store or {"filesystem": {"rootdirectory": str(data)}}),
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    for name, section in (settings or {}).items():
        sections[name] = {**sections.get(name, {}), **section}
    config = folder / f"registry-{port}.yml"
    config.write_text(yaml.safe_dump({"version": "0.1", **sections}))
    command = [REGISTRY, "serve", str(config)]
    return ServerProcess(command, port, data, folder / f"registry-{port}.log", authority=authority)


def docker_registry(
    program: str,
    folder: Path,
    others: Mapping[str, object] | None = None,
    *,
    store: Mapping[str, object] | None = None,
    port: int | None = None,
) -> ServerProcess:
    """Give Debian's docker-registry, not started.

    Args:
        program: Its path.
        folder: For its files.
        others: Other sections of its configuration.
        store: The driver's key with its parameters; by default files below `folder/data`.
        port: Where it listens; by default a free one.
    """
    port, data = port or free_port(), folder / "data"
    config = folder / f"docker-registry-{port}.yml"
    sections = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {
            **(store or {"filesystem": {"rootdirectory": str(data)}}),
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "for-tests"},
        **(others or {}),
    }
    config.write_text(yaml.safe_dump(sections))
    command = [program, "serve", str(config)]
    return ServerProcess(
        *(command, port, data, folder / f"docker-registry-{port}.log"),
        # With this variable its S3 client ends the process: it has a transport of its own.
        environment={"AWS_CA_BUNDLE": ""},
    )
