"""An asynchronous filesystem through the generic driver: s3fs, on SeaweedFS; the core groups."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import botocore.session
import pytest
from storagedriver_fsspec._chunks import ChunkUploads
from storagedriver_fsspec._driver import AsyncFsspecDriver
from storagedriver_fsspec._remote import RemoteFiles
from storagedriver_fsspec.harness import FsspecHarness
from storagedriver_testsuite import Harness
from storagedriver_testsuite._suite import SuiteBase
from storagedriver_testsuite.cases.bodies import BodyCases
from storagedriver_testsuite.cases.content import ContentCases
from storagedriver_testsuite.cases.copying import CopyCases
from storagedriver_testsuite.cases.deleting import DeleteCases
from storagedriver_testsuite.cases.listing import ListingCases
from storagedriver_testsuite.cases.moving import MoveCases
from storagedriver_testsuite.cases.neighbours import NeighbourCases
from storagedriver_testsuite.cases.ranges import RangeCases
from storagedriver_testsuite.cases.stat import StatCases
from storagedriver_testsuite.cases.writers import WriterCases

from servers.seaweedfs import SeaweedFS
from storagedriver_core import ConfigurationError, PathNotFoundError, Storage, UnavailableError

BUCKET = "fsspec"


@pytest.fixture(scope="session")
def bucket(seaweedfs: SeaweedFS) -> SeaweedFS:
    """Give a server with the bucket."""
    seaweedfs.create_bucket(BUCKET)
    return seaweedfs


class S3Harness(FsspecHarness):
    """A prefix of a bucket; behind the driver's back by botocore."""

    # Each write is looked at, and each look is a request.
    max_seconds = 240.0

    is_remote = True

    def __init__(self, server: SeaweedFS) -> None:
        options = {
            "key": server.access_key,
            "secret": server.secret_key,
            "client_kwargs": {"endpoint_url": server.url, "region_name": server.region},
        }
        super().__init__(
            Path("unused"), {"protocol": "s3", "root_directory": BUCKET, "options": options}
        )
        self._client: Any = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=server.url,
            region_name=server.region,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )

    async def stop(self) -> None:
        await asyncio.to_thread(self._client.close)

    async def raw_list(self) -> Sequence[str]:
        return await asyncio.to_thread(self._names)

    def _names(self) -> list[str]:
        prefix = f"{self._name}/"
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        found = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return [f"/{key[len(prefix) :]}" for key in found]

    async def raw_get(self, path: str) -> bytes:
        def get() -> bytes:
            answer = self._client.get_object(Bucket=BUCKET, Key=f"{self._name}{path}")
            data: bytes = answer["Body"].read()
            return data

        return await asyncio.to_thread(get)

    def offers(self, method: str) -> bool:
        # The bucket is there, so that a root below it is there as well.
        return method != "missing_driver" and super().offers(method)


class TestS3fs(
    NeighbourCases,
    ContentCases,
    BodyCases,
    RangeCases,
    WriterCases,
    ListingCases,
    StatCases,
    MoveCases,
    CopyCases,
    DeleteCases,
    SuiteBase,
):
    label = "fsspec on s3fs and SeaweedFS, core groups"
    deviations: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ["D01", "D03", "D09", "L04", "M01", "M14"],
        "SeaweedFS lists a prefix for two minutes after it is empty",
    )
    # What makes a thousand requests, one by one, takes minutes here and shows nothing else.
    removed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ["D05", "D06", "L06"], "this driver makes them one by one, and it is no core case"
    )

    @pytest.fixture
    def harness(self, bucket: SeaweedFS) -> Harness:
        return S3Harness(bucket)


def driver(bucket: SeaweedFS) -> AsyncFsspecDriver:
    made = S3Harness(bucket).driver()
    assert isinstance(made, AsyncFsspecDriver)
    return made


def test_missing_file_lists_nothing(bucket: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    made = driver(bucket)

    async def use() -> None:
        async with Storage(made) as storage:
            files = made._objects.files
            assert isinstance(files, RemoteFiles)
            monkeypatch.setattr(files._fs, "_ls", None)
            with pytest.raises(PathNotFoundError):
                await storage.get_content("/missing")

    asyncio.run(use())


def test_missing_bucket_is_told_when_the_driver_is_opened(bucket: SeaweedFS) -> None:
    harness = S3Harness(bucket)
    harness._base = "no-such-bucket"

    async def use() -> None:
        async with Storage(harness.driver()):
            pass

    with pytest.raises(ConfigurationError):
        asyncio.run(use())


def test_server_that_is_not_there_is_unavailable_when_the_driver_is_opened(
    bucket: SeaweedFS,
) -> None:
    harness = S3Harness(bucket)
    options = dict(harness._given["options"])
    options["client_kwargs"] = {**options["client_kwargs"], "endpoint_url": "http://127.0.0.1:1"}

    async def use() -> None:
        async with Storage(harness._driver("x", options=options)):
            pass

    with pytest.raises(UnavailableError):
        asyncio.run(use())


def test_committed_upload_is_forgotten_when_its_writer_lets_go(bucket: SeaweedFS) -> None:
    made = driver(bucket)

    async def use() -> None:
        async with Storage(made) as storage:
            async with await storage.writer("/a") as writer:
                await writer.write(b"content")
                await writer.commit()
            uploads = made._objects.uploads
            assert isinstance(uploads, ChunkUploads)
            assert not uploads._done and not uploads._begun and not uploads._left

    asyncio.run(use())


@pytest.mark.parametrize("then", ["another upload", "the end"])
def test_rest_of_an_upload_is_removed_after_its_writer_lets_go(
    then: str, bucket: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = S3Harness(bucket)
    made = harness.driver()
    assert isinstance(made, AsyncFsspecDriver)

    async def fail(path: str) -> None:
        raise UnavailableError

    async def use() -> None:
        async with Storage(made) as storage:
            with monkeypatch.context() as patch:
                patch.setattr(made._objects.files, "remove_all", fail)
                async with await storage.writer("/a") as writer:
                    await writer.write(b"content")
                    await writer.commit()
            assert await harness.raw_uploads()
            if then == "another upload":
                async with await storage.writer("/b"):
                    pass
                assert await harness.raw_uploads() == []
        assert await harness.raw_uploads() == []
        await harness.stop()

    asyncio.run(use())
