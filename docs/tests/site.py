"""What pages need around them: a directory, ports, and servers that stand for others."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from docs.tests.blocks import ROOT
from servers._ports import Ports
from servers.azurite import Azurite
from servers.moto import Moto
from servers.seaweedfs import SeaweedFS
from servers.strict_gcs import StrictGcs

_PROGRAMS = ROOT / ".services" / "bin"


class Site:
    """The surroundings of one page.

    Args:
        directory: Where its commands and programs run. Its path is short: sockets lie in it.
        request: Of the test, for the servers that all tests share.
    """

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self.directory = directory
        self._request = request
        self._ports = Ports(3)

    def __truediv__(self, name: str) -> str:
        return str(self.directory / name)

    def host(self, number: int = 0) -> str:
        """Give an address of the loopback that nobody else takes, one of three."""
        return f"127.0.0.1:{self._ports.numbers[number]}"

    def close(self) -> None:
        """Let others have the ports."""
        self._ports.release()

    @property
    def environment(self) -> dict[str, str]:
        """Give the variables of programs: nothing of whoever runs the tests but the path."""
        programs = [str(Path(sys.executable).parent), str(_PROGRAMS), os.environ["PATH"]]
        return {
            "PATH": os.pathsep.join(programs),
            "HOME": self / "home",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "120",
            # As in pyproject.toml: loading it would cost every run half a second.
            "PYTEST_ADDOPTS": "-p no:schemathesis",
        }

    def bucket(self) -> dict[str, str]:
        """Make a bucket, and give the parameters of the driver `s3` for it."""
        server: SeaweedFS = self._request.getfixturevalue("seaweedfs")
        name = f"docs-{secrets.token_hex(4)}"
        server.create_bucket(name)
        return {
            "bucket": name,
            "region": server.region,
            "endpoint": server.url,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "preset": "seaweedfs",
        }

    @property
    def moto(self) -> str:
        """Give the address of an S3 store that believes everybody."""
        server: Moto = self._request.getfixturevalue("moto")
        return server.url

    def azurite(self, container: str) -> Azurite:
        """Give Azurite, with a container."""
        server: Azurite = self._request.getfixturevalue("azurite")
        with ContainerClient.from_connection_string(server.connection_string, container) as client:
            if not client.exists():
                client.create_container()
        return server

    def gcs(self, bucket: str) -> StrictGcs:
        """Give the strict fake of Google Cloud Storage, with a bucket."""
        server: StrictGcs = self._request.getfixturevalue("strict_gcs")
        server.create_bucket(bucket)
        return server


def flow(parameters: Mapping[str, str]) -> str:
    """Give parameters as YAML within braces."""
    return json.dumps(parameters)[1:-1]


def storage(driver: str, parameters: Mapping[str, str]) -> str:
    """Give the configuration of a storage, as a file has it."""
    return json.dumps({"storage": {"driver": driver, "parameters": parameters}})
