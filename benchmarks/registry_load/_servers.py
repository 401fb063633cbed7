"""The servers that are loaded: alike in everything that their configurations have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from servers._http import request
from servers._process import HOST, Server
from servers.seaweedfs import SeaweedFS

BUCKET = "registry"

Section = Mapping[str, Mapping[str, Any]]
Storing = Callable[[Path], AbstractContextManager[Section]]


class Running(Protocol):
    """A server that runs."""

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""

    @property
    def pid(self) -> int | None:
        """Its process."""


@contextmanager
def on_files(directory: Path) -> Iterator[Section]:
    """Give the section of the driver for files below a directory."""
    yield {"filesystem": {"rootdirectory": str(directory / "data")}}


@contextmanager
def on_seaweedfs(directory: Path) -> Iterator[Section]:
    """Run SeaweedFS while the block does, and give the section of the driver for its bucket."""
    with SeaweedFS(directory / "seaweedfs") as store:
        store.create_bucket(BUCKET)
        yield {
            "s3": {
                "accesskey": store.access_key,
                "secretkey": store.secret_key,
                "region": store.region,
                "regionendpoint": store.url,
                "bucket": BUCKET,
                "rootdirectory": "/registry",
                "secure": False,
                "v4auth": True,
            }
        }


class Registry(Server):
    """A registry that reads distribution's `config.yml`.

    Args:
        directory: For its configuration and log.
        section: The driver with its parameters.
        workers: How many processes serve, where it lets one choose; None for its default.
        redirects: Whether clients are sent to the store for blobs.
    """

    stop_seconds: ClassVar[float] = 30.0

    def __init__(
        self,
        directory: Path,
        section: Section,
        *,
        workers: int | None = None,
        redirects: bool = True,
    ) -> None:
        super().__init__(directory)
        self._section = section
        self._workers = workers
        self._redirects = redirects

    def arguments(self) -> Sequence[str]:
        """Write the configuration: JSON is YAML."""
        path = self.directory / "config.yml"
        path.write_text(json.dumps(self.settings()), encoding="utf-8")
        return ["serve", str(path)]

    def settings(self) -> Mapping[str, Any]:
        """Give the configuration."""
        return {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                **self._section,
                "redirect": {"disable": not self._redirects},
                "cache": {"blobdescriptor": "inmemory"},
                # It would be done some minutes after the start, by whichever server lives so long.
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": f"{HOST}:{self.port}", "secret": "for-measurements"},
        }

    def is_ready(self) -> bool:
        """Say whether it answers."""
        return request("GET", f"{self.url}/v2/").status == 200


class Ours(Registry):
    """`registry serve`."""

    def executable(self) -> str:
        """Give the command of this environment."""
        return str(Path(sys.executable).with_name("registry"))

    def arguments(self) -> Sequence[str]:
        """Give the number of workers, too."""
        workers = [] if self._workers is None else ["--workers", str(self._workers)]
        return [*super().arguments(), *workers]


class DockerRegistry(Registry):
    """Debian's docker-registry."""

    program: ClassVar[str] = "docker-registry"

    def environment(self) -> Mapping[str, str]:
        """Send no traces; with `AWS_CA_BUNDLE` its S3 client would end the process."""
        return {"OTEL_TRACES_EXPORTER": "none", "AWS_CA_BUNDLE": ""}


class Nothing(Registry):
    """A server that keeps nothing but sizes, and answers as fast as Python can."""

    def executable(self) -> str:
        """Give this interpreter."""
        return sys.executable

    def arguments(self) -> Sequence[str]:
        """Give the program's path and the port."""
        return [str(Path(__file__).with_name("_nothing.py")), str(self.port)]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of server is named, and started.

    Attributes:
        name: On the command line and in tables.
        make: Makes one, in a directory.
        is_kept: Whether it keeps what is pushed.
    """

    name: str
    make: type[Registry]
    is_kept: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ours", Ours),
        Kind("docker-registry", DockerRegistry),
        Kind("nothing", Nothing, is_kept=False),
    )
}


@dataclass(frozen=True, slots=True)
class Contender:
    """One server of a comparison.

    Attributes:
        name: In tables.
        kind: How it is started; None for one that runs already.
        workers: How many processes serve; None for its default.
        given: The one that runs already.
        store: Makes the store that it serves.
        redirects: Whether it sends clients to the store for blobs.
    """

    name: str
    kind: Kind | None = None
    workers: int | None = None
    given: Given | None = None
    store: Storing = on_files
    redirects: bool = True

    @property
    def is_kept(self) -> bool:
        """Whether it keeps what is pushed."""
        return self.kind is None or self.kind.is_kept

    @contextmanager
    def running(self, directory: Path) -> Iterator[Running]:
        """Run it on fresh storage while the block does; one that runs already stays as it is."""
        if self.kind is None:
            assert self.given is not None
            yield self.given
            return
        with (
            self.store(directory) as section,
            self.kind.make(
                directory, section, workers=self.workers, redirects=self.redirects
            ) as server,
        ):
            yield server


@dataclass(frozen=True, slots=True)
class Given:
    """A server that runs already.

    Attributes:
        url: Where it is, without a slash at the end.
        pid: Its process.
    """

    url: str
    pid: int
