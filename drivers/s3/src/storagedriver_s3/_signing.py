"""URLs at which a plain HTTP client can read or write for a while."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from storagedriver_core import LimitExceededError, SignedMethod
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._client import Connection
from storagedriver_s3._errors import translating

# Source: Amazon S3 User Guide, "Sharing objects with presigned URLs": a week for Signature 4.
MAX_SECONDS = 7 * 24 * 3600

_OPERATIONS = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object"}


async def redirect_url(
    bucket: Bucket,
    connection: Connection,
    path: str,
    *,
    method: SignedMethod,
    expires: timedelta,
    content_type: str | None,
) -> str:
    """Sign a URL. Nothing is sent, unless the credentials have to be renewed.

    Args:
        bucket: The bucket.
        connection: To the endpoint that the URL is for.
        path: The file.
        method: What it is good for.
        expires: How long.
        content_type: Media type that a PUT has to carry.
    """
    seconds = math.ceil(expires.total_seconds())
    if seconds > MAX_SECONDS:
        raise LimitExceededError(f"a URL is signed for at most {MAX_SECONDS} seconds")
    parameters: dict[str, Any] = {"Bucket": bucket.config.bucket, "Key": bucket.keys.key(path)}
    if content_type is not None:
        parameters["ContentType"] = content_type
    with translating(changes=False):
        url: str = await connection.client.generate_presigned_url(
            _OPERATIONS[method], Params=parameters, ExpiresIn=seconds, HttpMethod=method
        )
    return url
