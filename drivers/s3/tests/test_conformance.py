"""The shared suite on the S3 driver: against SeaweedFS and against Swift's s3api."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite import DriverSuite, Harness

from servers.seaweedfs import SeaweedFS
from servers.swift import Swift


class TestSeaweedFS(DriverSuite):
    label = "s3 on SeaweedFS"

    @pytest.fixture
    def harness(self, tmp_path: Path, seaweedfs_bucket: Mapping[str, object]) -> Harness:
        return S3Harness(
            tmp_path,
            seaweedfs_bucket,
            other_credentials={
                "access_key": SeaweedFS.other_access_key,
                "secret_key": SeaweedFS.other_secret_key,
            },
            policies=True,
        )


class TestSwift(DriverSuite):
    label = "s3 on Swift"

    @pytest.fixture
    def harness(self, tmp_path: Path, swift_bucket: Mapping[str, object]) -> Harness:
        return S3Harness(
            tmp_path,
            swift_bucket,
            other_credentials={
                "access_key": Swift.other_access_key,
                "secret_key": Swift.other_secret_key,
            },
        )
