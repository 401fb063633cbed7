"""Azurite: Azure Blob Storage's emulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers._http import request
from servers._process import HOST, Server


class Azurite(Server):
    """The blob service, on an account that every emulator has.

    Args:
        directory: For its data and log.
        on_disk: Keep what is stored in files, for what does not fit in the memory of one process,
            and to find it again after a restart.

    Attributes:
        account: The account's name.
        key: The account's key, the same for every emulator, by Microsoft's documentation.
    """

    program: ClassVar[str] = "azurite-blob"
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, directory: Path, *, on_disk: bool = False) -> None:
        super().__init__(directory)
        self._on_disk = on_disk

    @property
    def url(self) -> str:
        """The account's address: an emulator names the account in the path."""
        return f"http://{HOST}:{self.port}/{self.account}"

    @property
    def connection_string(self) -> str:
        """What Azure's own client takes."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};"
            f"AccountKey={self.key};BlobEndpoint={self.url};"
        )

    def arguments(self) -> Sequence[str]:
        """Give the options."""
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        place = ["--location", str(data)] if self._on_disk else ["--inMemoryPersistence"]
        address = ["--blobHost", HOST, "--blobPort", str(self.port)]
        # A client newer than the emulator names a version that the emulator has not heard of.
        return [*address, *place, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]

    def environment(self) -> Mapping[str, str]:
        """Drop what would change the accounts."""
        return {"AZURITE_ACCOUNTS": ""}

    def facts(self) -> Mapping[str, str]:
        """Give the address and the account."""
        return {"url": self.url, "account": self.account, "key": self.key}

    def is_ready(self) -> bool:
        """Say whether it judges requests: one without a signature is refused."""
        return request("GET", f"{self.url}?comp=list").status == 403
