"""Stores that servers of tests share, each server in a place of its own."""

from __future__ import annotations

from typing import Any

from registry.tests.client import unique_name
from servers.seaweedfs import SeaweedFS

BUCKET = "registry-tests"


def s3_parameters(server: SeaweedFS) -> dict[str, Any]:
    """Give parameters of the driver for a new place on S3, in distribution's spellings."""
    if not server.request("HEAD", BUCKET).is_success:
        server.create_bucket(BUCKET)
    return {
        "accesskey": server.access_key,
        "secretkey": server.secret_key,
        "region": server.region,
        "regionendpoint": server.url,
        "bucket": BUCKET,
        "rootdirectory": f"/{unique_name('root')}",
    }
