"""The shared suite on the S3 driver: against SeaweedFS and against Swift's s3api."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite import DriverSuite, Harness

from servers.seaweedfs import SeaweedFS
from servers.swift import Swift

LINGERS = "an emptied directory is listed for about two minutes"


class TestSeaweedFS(DriverSuite):
    label = "s3 on SeaweedFS"
    deviations: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(["D09", "L04", "M01", "M14", "N07", "Y01"], LINGERS),
        "N05": "a backslash in a key becomes a slash",
    }
    removed: ClassVar[Mapping[str, str]] = {
        "N25": "completing an upload onto a key that others lie below is an internal error",
        "P02": "of two aborts at once both succeed",
        "W36": "1,200 parts of 5 MiB are 6 GB: test_small_parts.py",
    }

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
    deviations: ClassVar[Mapping[str, str]] = {
        "C15": "an underscore in the name of metadata becomes a hyphen",
        "W41": "a part that comes after the completion spoils the object",
    }
    removed: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(["L22", "P04"], "each request takes it a hundredth of a second"),
        "W36": "1,200 parts of 5 MiB are 6 GB: test_small_parts.py",
    }

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
