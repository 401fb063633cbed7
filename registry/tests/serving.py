"""Server processes as they are really started: certificates, workers, sockets, signals."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from registry.tests.authentication import certificate, key
from registry.tests.processes import REGISTRY, free_port

T = TypeVar("T")

SECONDS = 120
"""For what has to come, however slow the machine is."""


def eventually(
    look: Callable[[], T], wanted: Callable[[T], bool] = bool, seconds: float = SECONDS
) -> T:
    deadline = time.monotonic() + seconds
    while not wanted(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


class Served:
    """`registry serve`, started."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], workers: int | None) -> None:
        self.data = folder / "data"
        self.port = free_port()
        everything: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.data)}},
        } | {name: dict(section) for name, section in settings.items()}
        http = {"addr": f"127.0.0.1:{self.port}", **everything.get("http", {})}
        config = folder / "config.yml"
        config.write_text(yaml.safe_dump({**everything, "http": http}))
        self._log = folder / "log"
        self._children: list[psutil.Process] = []
        option = [] if workers is None else ["--workers", str(workers)]
        command = [REGISTRY, "serve", *option, str(config)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                # Most tests end it by SIGKILL, which leaves the directory where workers add up.
                env=os.environ | {"TMPDIR": str(folder)},
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def lines(self) -> list[str]:
        return self.log.splitlines()

    @property
    def url(self) -> str:
        (line,) = [line for line in self.lines if line.startswith("serving ")]
        return line.removeprefix("serving ").removesuffix("/v2/")

    def wait_until_ready(self) -> None:
        eventually(lambda: "serving " in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    def workers(self) -> list[int]:
        """Give the ids of the processes below it."""
        self._children = psutil.Process(self.process.pid).children()
        return sorted(child.pid for child in self._children)

    def kill(self) -> None:
        """End it, and workers that a test has seen and that outlive it."""
        if self.process.poll() is None:
            self.workers()
        self.process.kill()
        self.process.wait()
        for child in self._children:
            # It knows an id that is another process's by now.
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def staged(self) -> list[Path]:
        """Give the files in the driver's staging directory."""
        return [path for path in (self.data / ".storagedriver").rglob("*") if path.is_file()]

    def refuses(self) -> bool:
        """Tell whether it takes no connections.

        One that comes in the moment in which the socket is closed is reset.
        """
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        return False

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)


@contextlib.contextmanager
def served(
    folder: Path, workers: int | None = 1, **settings: Mapping[str, Any]
) -> Iterator[Served]:
    server = Served(folder, settings, workers)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.kill()


def fails_to_serve(folder: Path, workers: int = 1, **settings: Mapping[str, Any]) -> str:
    """Give what a server says that does not start; it has to end by itself, with status 1."""
    server = Served(folder, settings, workers)
    try:
        assert server.process.wait(SECONDS) == 1, server.log
    finally:
        server.process.kill()
        server.process.wait()
    assert "Traceback" not in server.log
    return server.log


class Certificates:
    """An authority with a server's certificate and those of clients, as PEM files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authorities: dict[str, x509.Certificate] = {}
        self.authority = self.make_authority("ca")
        self.certificate, self.key = self.issue("server")

    def make_authority(self, name: str) -> Path:
        made = certificate(name, key("p256", name), is_authority=True, may_sign=True)
        self._authorities[name] = made
        path = self._folder / f"{name}.pem"
        path.write_bytes(made.public_bytes(Encoding.PEM))
        return path

    def issue(self, name: str, by: str = "ca", password: bytes | None = None) -> tuple[Path, Path]:
        """Give a certificate for the loopback, and its key."""
        private, now = key("p256", name), datetime.datetime.now(datetime.UTC)
        names = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
            x509.DNSName("localhost"),
        ]
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._authorities[by].subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key("p256", by), hashes.SHA256())
        )
        paths = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        paths[0].write_bytes(made.public_bytes(Encoding.PEM))
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        paths[1].write_bytes(
            private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption)
        )
        return paths

    def section(self, **others: Any) -> dict[str, Any]:
        """Give the section `http.tls`."""
        return {"certificate": str(self.certificate), "key": str(self.key), **others}

    def context(self, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Give what a client needs, with a certificate of its own if there is one."""
        context = ssl.create_default_context(cafile=self.authority)
        if client is not None:
            context.load_cert_chain(*client)
        return context
