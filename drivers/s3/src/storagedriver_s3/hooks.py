"""Plugin module: registers the driver `s3` and its conformance harness."""

from __future__ import annotations

from storagedriver_core import DriverSpec, HarnessSpec, hookimpl
from storagedriver_s3._config import S3Config


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    """Register `s3`."""
    return [
        DriverSpec(
            name="s3",
            summary="Amazon S3 and stores that speak its protocol",
            factory="storagedriver_s3._driver:S3Driver",
            parameters=S3Config,
            # Source: Amazon S3 User Guide, "Required permissions for Amazon S3 API operations".
            permissions={
                "check": "s3:ListBucket on the bucket",
                "list": "s3:ListBucket on the bucket",
                "now": "s3:ListBucket on the bucket",
                "get_content": "s3:GetObject on the objects",
                "put_content": "s3:PutObject on the objects",
                "delete": "s3:DeleteObject on the objects, s3:ListBucket on the bucket",
                "open_upload": "s3:PutObject on the objects",
                "upload_state": "s3:ListMultipartUploadParts on the objects",
                "abort_upload": "s3:AbortMultipartUpload on the objects",
                "list_uploads": "s3:ListBucketMultipartUploads on the bucket",
            },
        )
    ]


@hookimpl
def storagedriver_register_harnesses() -> list[HarnessSpec]:
    """Register the harness; only the testsuite imports it."""
    return [
        HarnessSpec(
            name="s3",
            driver_name="s3",
            factory="storagedriver_s3.harness:S3Harness",
            summary="A store that the configuration file names",
        )
    ]
