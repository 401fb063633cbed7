"""Buckets on the servers that the tests run against."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from servers.seaweedfs import SeaweedFS


@pytest.fixture(scope="session")
def seaweedfs_bucket(seaweedfs: SeaweedFS) -> Mapping[str, object]:
    """Give the parameters of a bucket on SeaweedFS."""
    seaweedfs.create_bucket("conformance")
    return {
        "bucket": "conformance",
        "preset": "seaweedfs",
        "endpoint": seaweedfs.url,
        "access_key": seaweedfs.access_key,
        "secret_key": seaweedfs.secret_key,
        "region": seaweedfs.region,
    }
