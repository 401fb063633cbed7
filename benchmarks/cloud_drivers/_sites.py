"""The servers, each with those who compete on it."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from obstore.store import AzureStore, GCSStore, S3Store

from benchmarks.cloud_drivers._aiobotocore import AioBotocore
from benchmarks.cloud_drivers._azure_sdk import AzureSdk
from benchmarks.cloud_drivers._contender import CONNECTIONS, PART_BYTES, Contender
from benchmarks.cloud_drivers._file_api import FileApi
from benchmarks.cloud_drivers._gcsfs import GcsfsCalls
from benchmarks.cloud_drivers._obstore import Obstore
from benchmarks.cloud_drivers._opendal import OpenDal
from benchmarks.cloud_drivers._ours import Ours
from servers._process import Server
from servers.azurite import Azurite
from servers.fake_gcs import FakeGcs
from servers.seaweedfs import SeaweedFS
from servers.strict_gcs import StrictGcs

BUCKET = "benchmark"
# As s3fs and gcsfs call it; they would send 50 MiB at a time.
IN_PARTS = {"chunksize": PART_BYTES}


class Site(Protocol):
    """One server.

    Attributes:
        name: The store, and the server.
        service: Its name in `services.toml`; None if it is from here.
        is_s3: Whether the aims for S3 count.
        server: The server, not started.
    """

    name: str
    service: str | None
    is_s3: bool
    server: Server

    async def contenders(self) -> Sequence[Contender]:
        """Make the bucket on the server, which runs, and those who compete; ours come first."""


class S3Site(Site):
    """SeaweedFS."""

    name = "S3 (SeaweedFS)"
    service = "seaweedfs"
    is_s3 = True

    def __init__(self, directory: Path) -> None:
        self.server = SeaweedFS(directory)

    async def contenders(self) -> Sequence[Contender]:
        """Make the bucket, and those who compete."""
        server = self.server
        server.create_bucket(BUCKET)
        return (
            Ours(
                "s3",
                {
                    "bucket": BUCKET,
                    "preset": "seaweedfs",
                    "endpoint": server.url,
                    "region": server.region,
                    "access_key": server.access_key,
                    "secret_key": server.secret_key,
                },
            ),
            AioBotocore(server, BUCKET),
            FileApi("s3fs", lambda: _s3fs(server), _close_s3fs, BUCKET, IN_PARTS),
            Obstore(
                lambda: S3Store(
                    BUCKET,
                    endpoint=server.url,
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
                    "endpoint": server.url,
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
    service = "fake-gcs-server"
    is_s3 = False

    def __init__(self, directory: Path) -> None:
        self.server = FakeGcs(directory)

    async def contenders(self) -> Sequence[Contender]:
        """Make the bucket, and those who compete."""
        server = self.server
        server.create_bucket(BUCKET)
        # What object_store reads to sign nothing, and to find the emulator.
        key = {
            "gcs_base_url": server.url,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        return (
            Ours("gcs", {"bucket": BUCKET, "endpoint": server.url, "credentials_source": "anon"}),
            GcsfsCalls(server, BUCKET),
            FileApi("gcsfs", lambda: _gcsfs(server, "anon"), _close_gcsfs, BUCKET, IN_PARTS),
            Obstore(
                lambda: GCSStore(
                    BUCKET,
                    service_account_key=json.dumps(key),
                    client_options={"allow_http": True},
                ),
                unable=dict.fromkeys(
                    ("put 64 MiB", "500 puts of 4 KiB"),
                    "it puts by the XML interface, which fake-gcs-server refuses",
                ),
            ),
            OpenDal(
                "gcs",
                {
                    "bucket": BUCKET,
                    "endpoint": server.url,
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
    service = None
    is_s3 = False

    def __init__(self, directory: Path) -> None:
        self.server = StrictGcs(directory)

    async def contenders(self) -> Sequence[Contender]:
        """Make the bucket, and those who compete: the others want the XML interface."""
        server = self.server
        server.create_bucket(BUCKET)
        key = str(server.key_file)
        return (
            Ours("gcs", {"bucket": BUCKET, "endpoint": server.url, "keyfile": key}),
            GcsfsCalls(server, BUCKET, key),
            FileApi(
                "gcsfs",
                lambda: _gcsfs(server, key),
                _close_gcsfs,
                BUCKET,
                IN_PARTS,
                unable={
                    "500 puts of 4 KiB": "it ends lines by LF alone, which Google takes and the "
                    "fake does not"
                },
            ),
        )


class AzureSite(Site):
    """Azurite."""

    name = "Azure (Azurite)"
    service = "azurite"
    is_s3 = False

    def __init__(self, directory: Path) -> None:
        self.server = Azurite(directory)

    async def contenders(self) -> Sequence[Contender]:
        """Make the container, and those who compete."""
        server = self.server
        await AzureSdk(server, BUCKET).create_container()
        return (
            Ours(
                "azure",
                {
                    "account_name": server.account,
                    "account_key": server.key,
                    "container": BUCKET,
                    "endpoint": server.url,
                },
            ),
            AzureSdk(server, BUCKET),
            FileApi("adlfs", lambda: _adlfs(server), _close_adlfs, BUCKET),
            Obstore(
                lambda: AzureStore(
                    BUCKET,
                    account_name=server.account,
                    account_key=server.key,
                    endpoint=server.url,
                    client_options={"allow_http": True},
                )
            ),
            OpenDal(
                "azblob",
                {
                    "container": BUCKET,
                    "endpoint": server.url,
                    "account_name": server.account,
                    "account_key": server.key,
                },
            ),
        )


def _s3fs(server: SeaweedFS) -> Any:
    from s3fs import S3FileSystem

    return S3FileSystem(
        key=server.access_key,
        secret=server.secret_key,
        endpoint_url=server.url,
        client_kwargs={"region_name": server.region},
        config_kwargs={"max_pool_connections": CONNECTIONS},
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
    )


async def _close_s3fs(files: Any) -> None:
    await files._s3creator.__aexit__(None, None, None)


def _gcsfs(server: Server, token: str) -> Any:
    # The package's own name is a class that asks the bucket for its kind by gRPC.
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(
        token=token,
        endpoint_url=server.url,
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
    )


async def _close_gcsfs(files: Any) -> None:
    if files.session is not None:
        await files.session.close()


def _adlfs(server: Azurite) -> Any:
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(
        connection_string=server.connection_string,
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
