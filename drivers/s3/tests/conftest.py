"""Buckets on the servers that the tests run against."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from servers._s3 import S3Server
from servers.seaweedfs import SeaweedFS
from servers.swift import Swift


@pytest.fixture(scope="session")
def seaweedfs_bucket(seaweedfs: SeaweedFS) -> Mapping[str, object]:
    """Give the parameters of a bucket on SeaweedFS."""
    return bucket_on(seaweedfs, "seaweedfs")


@pytest.fixture(scope="session")
def swift_bucket(swift: Swift) -> Mapping[str, object]:
    """Give the parameters of a bucket on Swift."""
    return {**bucket_on(swift, "swift"), "min_part_size": Swift.min_part_size}


def bucket_on(server: S3Server, preset: str) -> Mapping[str, object]:
    server.create_bucket("conformance")
    return {
        "bucket": "conformance",
        "preset": preset,
        "endpoint": server.url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "region": server.region,
    }
