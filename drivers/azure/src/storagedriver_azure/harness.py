"""The conformance suite's harness for this driver: a container of its own for each test.

Names are spelt as the driver spells them; else the back door shares nothing with it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from storagedriver_testsuite import Answer, Harness

from storagedriver_azure._back_door import BackDoor
from storagedriver_azure._config import AzureConfig
from storagedriver_azure._driver import AzureDriver
from storagedriver_azure._names import Names
from storagedriver_core import ConfigurationError, StorageDriver


class ListCounter:
    """Counts requests to list."""

    def __init__(self) -> None:
        self.count = 0


class CountingDriver(AzureDriver):
    """Counts what it asks the service to list."""

    def __init__(self, config: AzureConfig, counter: ListCounter | None = None) -> None:
        super().__init__(config)
        self._counter = counter or ListCounter()

    async def open(self) -> None:
        await super().open()
        send = self._connection._send

        async def counting(method: str, name: str | None, **options: Any) -> Any:
            self._counter.count += "comp=list&" in options.get("query", "")
            return await send(method, name, **options)

        self._connection._send = counting  # type: ignore[method-assign]  # to watch it


class AzureHarness(Harness):
    """A container that is made for one test and deleted after it.

    Args:
        directory: Not used.
        parameters: The driver's, with an `account_key` that may make containers; their names begin
            with `container`.

    Raises:
        ConfigurationError: The parameters name no account and key.
    """

    is_remote = True
    signed_put_headers: Mapping[str, str] = {"x-ms-blob-type": "BlockBlob"}
    # A case makes and deletes up to 10,001 blobs, one request each.
    max_seconds = 600.0

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        if not parameters:
            raise ConfigurationError("name an account and a container in a configuration file (-c)")
        config = AzureConfig.model_validate(parameters)
        if config.account_key is None or config.account_name is None:
            raise ConfigurationError("the harness needs account_name and account_key")
        container = f"{config.container[:50]}-{secrets.token_hex(4)}"
        root = config.root_directory or "first/root"
        self._config = config.model_copy(update={"container": container, "root_directory": root})
        self._account = config.account_name
        self._key = config.account_key.get_secret_value()
        self._endpoint = (
            config.endpoint or f"https://{config.account_name}.blob.{config.realm}"
        ).rstrip("/")
        self._names = Names(root)
        self._lists = ListCounter()
        self._back_door: BackDoor | None = None

    async def start(self) -> None:
        container = self._config.container
        self._back_door = BackDoor(self._endpoint, self._account, self._key, container)
        await self._door.make()

    async def stop(self) -> None:
        if self._back_door is not None:
            try:
                await self._back_door.remove()
            finally:
                await self._back_door.aclose()
                self._back_door = None

    def driver(self) -> StorageDriver:
        return CountingDriver(self._config, self._lists)

    async def raw_list(self) -> Sequence[str]:
        """Name every blob. Blocks that no list has committed go by the service's own time."""
        root = self._names.root
        return [
            (self._names.path(name) or name) if name.startswith(root) else name
            for name in await self._door.names()
        ]

    async def raw_uploads(self) -> Sequence[str]:
        return await self._door.anchors()

    async def raw_get(self, path: str) -> bytes:
        return await self._door.get(self._names.of_file(path))

    async def raw_put(self, path: str, data: bytes) -> None:
        await self._door.put(self._names.of_file(path), data)

    async def plant_directory(self, path: str) -> None:
        await self._door.put(self._names.below(path), b"")

    async def discard_parts(self, path: str, data: bytes) -> None:
        await self._door.put_blocks(self._names.of_file(path), data, "another upload's")

    def missing_driver(self) -> StorageDriver:
        return self._changed(container=f"{self._config.container}-no")

    def other_root_driver(self) -> StorageDriver:
        return self._changed(root_directory=f"{self._config.root_directory}-beside")

    def list_requests(self) -> int:
        return self._lists.count

    def undeletable_answer(self, path: str) -> Answer:
        name = re.escape(quote(self._names.of_file(path)))
        return Answer(
            rf"^DELETE \S*/{self._config.container}/{name}(?:\?|$)",
            status=403,
            headers={
                "x-ms-error-code": "AuthorizationPermissionMismatch",
                "x-ms-request-id": "00000000-0000-0000-0000-000000000000",
            },
        )

    def upstream_url(self) -> str:
        parts = urlsplit(self._endpoint)
        return f"{parts.scheme}://{parts.netloc}"

    def proxied_driver(self, url: str) -> StorageDriver:
        return self._changed(endpoint=self._at(url))

    def public_driver(self, url: str) -> StorageDriver:
        return self._changed(public_endpoint=self._at(url))

    def rotated_driver(self) -> StorageDriver:
        now = datetime.now(UTC)
        signature = generate_container_sas(
            self._account,
            self._config.container,
            account_key=self._key,
            permission=ContainerSasPermissions(
                read=True, add=True, create=True, write=True, delete=True, list=True
            ),
            start=now - timedelta(minutes=15),
            expiry=now + timedelta(hours=1),
        )
        parameters = {**self.parameters(), "sas_token": signature}
        del parameters["account_key"]
        return AzureDriver(AzureConfig.model_validate(parameters))

    def unauthenticated_driver(self) -> StorageDriver:
        return self._changed(account_key="d3Jvbmc=")

    def parameters(self) -> Mapping[str, object]:
        return {
            "account_name": self._account,
            "account_key": self._key,
            "container": self._config.container,
            "root_directory": self._config.root_directory,
            "endpoint": self._endpoint,
        }

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        good = dict(self.parameters())
        return [
            ({**good, "colour": "red"}, "colour"),
            ({**good, "container": "Not_A_Container"}, "container"),
            ({**good, "max_connections": "many"}, "max_connections"),
            ({**good, "endpoint": "127.0.0.1:10000"}, "endpoint"),
            ({key: value for key, value in good.items() if key != "account_name"}, "account_name"),
        ]

    @property
    def _door(self) -> BackDoor:
        assert self._back_door is not None, "the harness was not started"
        return self._back_door

    def _changed(self, **changes: object) -> StorageDriver:
        return AzureDriver(AzureConfig.model_validate({**self.parameters(), **changes}))

    def _at(self, url: str) -> str:
        """Give the account's address at another server: an emulator's is in the path."""
        return url.rstrip("/") + urlsplit(self._endpoint).path
