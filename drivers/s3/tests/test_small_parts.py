"""Uploads of many parts, small, on a server that can be told to take such parts.

Amazon's least part is 5 MiB, and SeaweedFS keeps to it: 1,200 of them are 6 GB. moto takes less
where its environment says so, and Swift where its configuration does, but it takes its time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from storagedriver_s3.harness import S3Harness
from storagedriver_testsuite import DriverSuite, Kit

from servers.moto import Moto


class SmallPartsMoto(Moto):
    """Takes parts of any size."""

    def environment(self) -> Mapping[str, str]:
        sizes = {"S3_UPLOAD_PART_MIN_SIZE": "1", "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "16777216"}
        return {**super().environment(), **sizes}


@pytest.fixture
def bucket(moto: Moto, tmp_path: Path) -> Iterator[Mapping[str, object]]:
    # The session's own moto shows only that the program is there.
    with SmallPartsMoto(tmp_path) as server:
        server.create_bucket("small-parts")
        yield {
            "bucket": "small-parts",
            "endpoint": server.url,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "min_part_size": 1,
        }


def test_more_than_a_thousand_parts_resume(tmp_path: Path, bucket: Mapping[str, object]) -> None:
    kit = Kit(S3Harness(tmp_path, bucket))
    case = getattr(DriverSuite(), DriverSuite.cases()["W36"])
    kit.run(functools.partial(case, kit))
