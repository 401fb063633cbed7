"""The servers, each with those who compete on it."""

from __future__ import annotations

import json
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from benchmarks.drivers._aiobotocore import AioBotocore
from benchmarks.drivers._azure_sdk import AzureSdk
from benchmarks.drivers._contender import CONNECTIONS, PART_BYTES, Contender, Role
from benchmarks.drivers._file_api import FileApi
from benchmarks.drivers._gcsfs import GcsfsCalls
from benchmarks.drivers._obstore import Obstore
from benchmarks.drivers._opendal import OpenDal
from benchmarks.drivers._ours import Ours
from servers._process import Server
from servers.azurite import Azurite
from servers.fake_gcs import FakeGcs
from servers.seaweedfs import SeaweedFS
from servers.strict_gcs import StrictGcs

BUCKET = "benchmark"
# As s3fs and gcsfs call it; they would send 50 MiB at a time.
IN_PARTS = {"chunksize": PART_BYTES}


class Site(ABC):
    """One store.

    Attributes:
        name: The store, and the server.
        driver: Name of our driver.
        service: Its name in `services.toml`; None if it is from here.
        is_cloud: Whether the aims for drivers of cloud stores count.
        is_s3: Whether those for S3 do, too.
        entries: Files that are listed at most: some servers take too long for more.
        uncounted: Who cannot ask by way of a proxy, so that its requests are not counted.
        server: The server, not started; None where there is none.
    """

    name: str
    driver: str
    service: str | None = None
    is_cloud: bool = True
    is_s3: bool = False
    entries: int = 10_000
    uncounted: Collection[Role] = ()
    server: Server | None = None

    @property
    def url(self) -> str:
        """Where the server is, without a path; empty where there is none."""
        if self.server is None:
            return ""
        parts = urlsplit(self.server.url)
        return f"{parts.scheme}://{parts.netloc}"

    async def prepare(self) -> None:
        """Make the bucket on the server, which runs, where there is one."""

    @abstractmethod
    def parameters(self, url: str) -> dict[str, Any]:
        """Give the configuration of our driver.

        Args:
            url: The server's, or that of a proxy in front of it.
        """

    @abstractmethod
    def contenders(self, url: str) -> Sequence[Contender]:
        """Give those who compete, not opened; ours come first.

        Args:
            url: The server's, or that of a proxy in front of it.
        """

    def judge(self, contenders: Sequence[Contender]) -> Contender | None:
        """Give who puts what others read; None where each of them has a store of its own."""
        return next(each for each in contenders if each.role == "raw")


class S3Site(Site):
    """SeaweedFS."""

    name = "S3 (SeaweedFS)"
    driver = "s3"
    service = "seaweedfs"
    is_s3 = True
    entries = 100_000
    server: SeaweedFS

    def __init__(self, directory: Path) -> None:
        self.server = SeaweedFS(directory)

    async def prepare(self) -> None:
        self.server.create_bucket(BUCKET)

    def judge(self, contenders: Sequence[Contender]) -> Contender | None:
        """Give the one that puts a hundred thousand objects soonest."""
        return next(each for each in contenders if each.role == "obstore")

    def parameters(self, url: str) -> dict[str, Any]:
        return {
            "bucket": BUCKET,
            "preset": "seaweedfs",
            "endpoint": url,
            "region": self.server.region,
            "access_key": self.server.access_key,
            "secret_key": self.server.secret_key,
        }

    def contenders(self, url: str) -> Sequence[Contender]:
        server = self.server
        return (
            Ours(self.driver, self.parameters(url)),
            AioBotocore(server, url, BUCKET),
            FileApi("s3fs", lambda: _s3fs(server, url), _close_s3fs, BUCKET, IN_PARTS),
            Obstore(
                lambda: S3Store(
                    BUCKET,
                    endpoint=url,
                    region=server.region,
                    access_key_id=server.access_key,
                    secret_access_key=server.secret_key,
                    client_options={"allow_http": True},
                )
            ),
            OpenDal(
                "s3",
                {
                    "bucket": BUCKET,
                    "endpoint": url,
                    "region": server.region,
                    "access_key_id": server.access_key,
                    "secret_access_key": server.secret_key,
                    "disable_config_load": "true",
                    "disable_ec2_metadata": "true",
                },
            ),
        )


class GcsSite(Site):
    """fake-gcs-server."""

    name = "GCS (fake-gcs-server)"
    driver = "gcs"
    service = "fake-gcs-server"
    # The XML interface that they read by answers at the server's own address alone.
    uncounted = ("obstore", "OpenDAL")
    server: FakeGcs

    def __init__(self, directory: Path) -> None:
        self.server = FakeGcs(directory)

    async def prepare(self) -> None:
        self.server.create_bucket(BUCKET)

    def parameters(self, url: str) -> dict[str, Any]:
        return {"bucket": BUCKET, "endpoint": url, "credentials_source": "anon"}

    def contenders(self, url: str) -> Sequence[Contender]:
        # What object_store reads to sign nothing, and to find the emulator.
        key = {
            "gcs_base_url": url,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        return (
            Ours(self.driver, self.parameters(url)),
            GcsfsCalls(url, BUCKET),
            FileApi("gcsfs", lambda: _gcsfs(url, "anon"), _close_gcsfs, BUCKET, IN_PARTS),
            Obstore(
                lambda: GCSStore(
                    BUCKET,
                    service_account_key=json.dumps(key),
                    client_options={"allow_http": True},
                ),
                unable=dict.fromkeys(
                    ("put-large", "put-small"),
                    "it puts by the XML interface, which fake-gcs-server refuses",
                ),
            ),
            OpenDal(
                "gcs",
                {
                    "bucket": BUCKET,
                    "endpoint": url,
                    "allow_anonymous": "true",
                    "disable_vm_metadata": "true",
                    "disable_config_load": "true",
                },
                # Its parts go by the XML interface, which the emulator refuses.
                multipart=False,
            ),
        )


class StrictGcsSite(Site):
    """This project's own fake, which gives the fields that are asked for, and copies no bytes.

    It is an interpreter's work, so that times are the server's; the client's CPU is what it shows.
    """

    name = "GCS (the strict fake of the tests)"
    driver = "gcs"
    server: StrictGcs

    def __init__(self, directory: Path) -> None:
        self.server = StrictGcs(directory)

    async def prepare(self) -> None:
        self.server.create_bucket(BUCKET)

    def parameters(self, url: str) -> dict[str, Any]:
        return {"bucket": BUCKET, "endpoint": url, "keyfile": str(self.server.key_file)}

    def contenders(self, url: str) -> Sequence[Contender]:
        # The others want the XML interface.
        key = str(self.server.key_file)
        return (
            Ours(self.driver, self.parameters(url)),
            GcsfsCalls(url, BUCKET, key),
            FileApi(
                "gcsfs",
                lambda: _gcsfs(url, key),
                _close_gcsfs,
                BUCKET,
                IN_PARTS,
                unable={
                    "put-small": "it ends lines by LF alone, which Google takes and the fake does "
                    "not"
                },
            ),
        )


class AzureSite(Site):
    """Azurite."""

    name = "Azure (Azurite)"
    driver = "azure"
    service = "azurite"
    server: Azurite

    def __init__(self, directory: Path) -> None:
        self.server = Azurite(directory)

    async def prepare(self) -> None:
        await AzureSdk(self.server.connection_string, BUCKET).create_container()

    def parameters(self, url: str) -> dict[str, Any]:
        return {
            "account_name": self.server.account,
            "account_key": self.server.key,
            "container": BUCKET,
            "endpoint": f"{url}/{self.server.account}",
        }

    def contenders(self, url: str) -> Sequence[Contender]:
        server = self.server
        endpoint = f"{url}/{server.account}"
        connection = server.connection_string.replace(server.url, endpoint)
        return (
            Ours(self.driver, self.parameters(url)),
            AzureSdk(connection, BUCKET),
            FileApi("adlfs", lambda: _adlfs(connection), _close_adlfs, BUCKET),
            Obstore(
                lambda: AzureStore(
                    BUCKET,
                    account_name=server.account,
                    account_key=server.key,
                    endpoint=endpoint,
                    client_options={"allow_http": True},
                )
            ),
            OpenDal(
                "azblob",
                {
                    "container": BUCKET,
                    "endpoint": endpoint,
                    "account_name": server.account,
                    "account_key": server.key,
                },
            ),
        )


def _s3fs(server: SeaweedFS, url: str) -> Any:
    from s3fs import S3FileSystem

    return S3FileSystem(
        key=server.access_key,
        secret=server.secret_key,
        endpoint_url=url,
        client_kwargs={"region_name": server.region},
        config_kwargs={"max_pool_connections": CONNECTIONS},
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
    )


async def _close_s3fs(files: Any) -> None:
    await files._s3creator.__aexit__(None, None, None)


def _gcsfs(url: str, token: str) -> Any:
    # The package's own name is a class that asks the bucket for its kind by gRPC.
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(
        token=token,
        endpoint_url=url,
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
    )


async def _close_gcsfs(files: Any) -> None:
    if files.session is not None:
        await files.session.close()


def _adlfs(connection: str) -> Any:
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(
        connection_string=connection,
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
    )


async def _close_adlfs(files: Any) -> None:
    # It would close itself at the end of the process, by an event loop that is gone then.
    for reference in weakref.getweakrefs(files):
        callback = getattr(reference, "__callback__", None)
        if isinstance(callback, weakref.finalize):
            callback.detach()
    await files.service_client.close()
