"""What one command opens: registries, layouts and stores, closed at its end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import typer

from storagedriver_core import Storage, open_storage
from storagedriver_registry.client.commands.connection import Connection
from storagedriver_registry.client.commands.failures import (
    EXPECTED,
    INTERRUPTED,
    exit_code,
    tell,
)
from storagedriver_registry.client.commands.locations import (
    Location,
    StorageLocation,
)
from storagedriver_registry.client.credentials import Credentials
from storagedriver_registry.client.docker_config import DockerConfig
from storagedriver_registry.client.errors import InvalidReferenceError
from storagedriver_registry.client.layouts import (
    ArchiveTarget,
    DockerArchive,
    DockerArchiveTarget,
    LocalFiles,
    OCILayout,
    OCILayoutTarget,
    StorageFiles,
    TarFiles,
)
from storagedriver_registry.client.mirrors import RegistriesConfig
from storagedriver_registry.client.references import ImageReference
from storagedriver_registry.client.registries_conf import read_registries_conf
from storagedriver_registry.client.registry import RegistryClient
from storagedriver_registry.client.repository import Repository
from storagedriver_registry.client.tls import TLSOptions
from storagedriver_registry.client.transfer import (
    Journal,
    RepositoryPlace,
    Source,
    Target,
)
from storagedriver_registry.client.transfer.copying import MOST_WINDOW
from storagedriver_registry.digest import Digest

T = TypeVar("T")

_CONNECTIONS = 2 * MOST_WINDOW + 2
"""Most connections to a registry: within one, each blob in flight has one that reads and one that
writes, and the first waits for the second. With fewer all could wait for each other."""


class Session:
    """The registries, layouts and stores of one command.

    Args:
        connection: Its options.
        stack: Closes what is opened.
    """

    def __init__(self, connection: Connection, stack: AsyncExitStack) -> None:
        self.connection = connection
        self.accounts = DockerConfig(connection.authfile)
        self._stack = stack
        self._clients: dict[str, RegistryClient] = {}
        self._storages: dict[Path, Storage] = {}
        self._journal = Journal()

    def client(self, host: str, credentials: Credentials | None = None) -> RegistryClient:
        """Give the client of a registry; without credentials it has those that are kept."""
        if host not in self._clients:
            client = RegistryClient(
                host,
                credentials=credentials or self.accounts,
                plain_http=True if host in (self.connection.plain_http or ()) else None,
                tls=self._tls,
                connections=_CONNECTIONS,
                mirrors=self._mirrors,
                timeout=self.connection.timeout,
            )
            self._stack.push_async_callback(client.aclose)
            self._clients[host] = client
        return self._clients[host]

    def repository(self, reference: ImageReference) -> Repository:
        """Give the repository of a reference."""
        return self.client(reference.host).repository(reference.name)

    async def source(self, location: Location) -> Source:
        """Open where an image is read."""
        if isinstance(location, ImageReference):
            return RepositoryPlace(self.repository(location), location.reference)
        if isinstance(location, StorageLocation):
            return OCILayout(await self._files(location), location.reference)
        if location.kind == "docker-archive":
            return DockerArchive(location.path, _name(location.reference))
        if location.kind == "oci-archive":
            return OCILayout(TarFiles(location.path), location.reference)
        return OCILayout(LocalFiles(location.path), location.reference)

    async def target(self, location: Location) -> Target:
        """Open where an image is written."""
        if isinstance(location, ImageReference):
            reference = location.tag or location.reference
            return RepositoryPlace(self.repository(location), reference, self._journal)
        name = _name(location.reference)
        if isinstance(location, StorageLocation):
            return OCILayoutTarget(await self._files(location), name)
        if not location.path.parent.is_dir():
            # Whoever has mistyped it does not want it made.
            raise FileNotFoundError(f"{location}: there is no directory {location.path.parent}")
        if location.kind == "docker-archive":
            return DockerArchiveTarget(location.path, name)
        if location.kind == "oci-archive":
            return ArchiveTarget(location.path, name)
        return OCILayoutTarget(LocalFiles(location.path), name)

    @cached_property
    def _mirrors(self) -> RegistriesConfig:
        return read_registries_conf()

    def _tls(self, host: str) -> TLSOptions:
        certificates = TLSOptions.of_folder(self.connection.certs_dir / host)
        return TLSOptions(
            (*certificates.authorities, *(self.connection.ca_file or ())),
            certificates.certificate,
            certificates.key,
        )

    async def _files(self, location: StorageLocation) -> StorageFiles:
        config = location.config
        if config not in self._storages:
            storage = await self._stack.enter_async_context(open_storage(config))
            self._storages[config] = storage
        return StorageFiles(
            self._storages[config], location.path, f"storage:{config}", self._journal
        )


def run(connection: Connection, work: Callable[[Session], Awaitable[T]]) -> T:
    """Do a command's work, and end the program with a line and a code if it fails.

    An interrupt, and a request to end, cancel the work, which then leaves nothing behind.
    """

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with AsyncExitStack() as stack:
            return await work(Session(connection, stack))

    # Imported here, as it is what few commands need: a loop that moves bytes at less cost.
    import uvloop

    try:
        return uvloop.run(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("dist: interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read the output has gone, and wants no line about it.
        raise
    except EXPECTED as error:
        tell(error, as_json=connection.json)
        raise typer.Exit(exit_code(error)) from None


def print_json(value: Any) -> None:
    """Print one value as JSON, indented for people on a terminal."""
    typer.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def _name(reference: str | Digest | None) -> str | None:
    if isinstance(reference, Digest):
        raise InvalidReferenceError("here an image is named, not given by its digest")
    return reference
