"""The conformance suite's harness for this driver: the store itself, by another client."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import botocore.session
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.config import Config
from storagedriver_testsuite import Answer, Harness

from storagedriver_core import ConfigurationError, StorageDriver
from storagedriver_s3._client import warm_loader
from storagedriver_s3._config import S3Config
from storagedriver_s3._deleting import KEYS_PER_REQUEST
from storagedriver_s3._driver import S3Driver

_WRONG_SECRET = "this is not the secret"

_COMPLETE_ERROR = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.\
</Message><RequestId>1</RequestId></Error>"""

_DELETE_ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Error><Key>{key}</Key>\
<Code>AccessDenied</Code><Message>Access Denied</Message></Error></DeleteResult>"""

_NO_SUCH_UPLOAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>NoSuchUpload</Code><Message>The specified upload does not exist.</Message></Error>"""

_XML = {"Content-Type": "application/xml"}


class S3Harness(Harness):
    """A root directory of its own below the configured one for each test.

    Args:
        directory: Not used.
        parameters: The driver's; the bucket has to be there.
        other_credentials: `access_key` and `secret_key` of the same rights, for credentials that
            rotate.
        policies: Whether the bucket takes policies and the store follows them at once, so that it
            can be made to refuse changes. The bucket's own policy is away meanwhile.

    Raises:
        ConfigurationError: There are no parameters: no store can be made out of nothing.
    """

    driver_class: ClassVar[type[S3Driver]] = S3Driver
    is_remote = True
    max_seconds = 600.0
    keys_per_delete = KEYS_PER_REQUEST

    def __init__(
        self,
        directory: Path,
        parameters: Mapping[str, object] | None = None,
        *,
        other_credentials: Mapping[str, str] | None = None,
        policies: bool = False,
    ) -> None:
        if not parameters:
            raise ConfigurationError(
                "the driver 's3' needs a store: name one in a configuration file, and give it "
                "with -c"
            )
        given = S3Config.model_validate(parameters)
        home = f"{given.root_directory.strip('/')}/conformance-{secrets.token_hex(6)}".strip("/")
        self._home = f"{home}/"
        self._root = f"{home}/root/"
        self._config = given.model_copy(update={"root_directory": f"{home}/root"})
        self._other_credentials = other_credentials
        self._policies = policies
        self._client: Any = None

    async def start(self) -> None:
        self._context = _back_door(self._config, await warm_loader())
        self._client = await self._context.__aenter__()

    async def stop(self) -> None:
        try:
            for upload in await self._uploads(self._home):
                await self._client.abort_multipart_upload(Bucket=self._config.bucket, **upload)
            for key in await self._keys(self._home):
                await self._client.delete_object(Bucket=self._config.bucket, Key=key)
        finally:
            await self._context.__aexit__(None, None, None)

    def driver(self) -> StorageDriver:
        return self.driver_class(self._config)

    async def raw_list(self) -> Sequence[str]:
        keys = await self._keys(self._root)
        uploads = await self.raw_uploads()
        return ["/" + key.removeprefix(self._root) for key in keys] + list(uploads)

    async def raw_uploads(self) -> Sequence[str]:
        return [upload["UploadId"] for upload in await self._uploads(self._root)]

    async def raw_get(self, path: str) -> bytes:
        response = await self._client.get_object(Bucket=self._config.bucket, Key=self._key(path))
        async with response["Body"] as body:
            data: bytes = await body.read()
            return data

    async def raw_put(self, path: str, data: bytes) -> None:
        await self._client.put_object(
            Bucket=self._config.bucket, Key=self._key(path), Body=io.BytesIO(data)
        )

    async def plant_directory(self, path: str) -> None:
        await self.raw_put(f"{path}/", b"")

    def missing_driver(self) -> StorageDriver:
        return self._with(bucket=f"missing-{secrets.token_hex(6)}")

    def other_root_driver(self) -> StorageDriver:
        return self._with(root_directory=f"{self._home}root2")

    def upstream_url(self) -> str:
        return str(self._config.endpoint_url)

    def proxied_driver(self, url: str) -> StorageDriver:
        return self._with(endpoint=url)

    def public_driver(self, url: str) -> StorageDriver:
        return self._with(public_endpoint=url)

    def rotated_driver(self) -> StorageDriver:
        assert self._other_credentials is not None
        return self._with(**self._other_credentials)

    def unauthenticated_driver(self) -> StorageDriver:
        return self._with(secret_key=_WRONG_SECRET)

    def commit_error_answer(self) -> Answer:
        return Answer(r"^POST .*[?&]uploadId=", body=_COMPLETE_ERROR, headers=_XML)

    def session_faults(self) -> Mapping[str, Answer]:
        return {
            "expired": Answer(
                r"^(PUT|POST|GET) .*[?&]uploadId=",
                status=404,
                body=_NO_SUCH_UPLOAD,
                headers=_XML,
            )
        }

    def undeletable_answer(self, path: str) -> Answer:
        body = _DELETE_ERROR.format(key=self._key(path)).encode()
        return Answer(r"^POST .*[?&]delete(=|&|$)", body=body, headers=_XML)

    async def discard_parts(self, path: str, data: bytes) -> None:
        await self.raw_put(path, data)
        for upload in await self._uploads(self._key(path)):
            await self._client.abort_multipart_upload(Bucket=self._config.bucket, **upload)

    @contextmanager
    def read_only_store(self) -> Iterator[None]:
        bucket = self._config.bucket
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:PutObject", "s3:DeleteObject"],
            "Resource": f"arn:aws:s3:::{bucket}/{self._root}*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        client = _blocking_client(self._config)
        try:
            client.put_bucket_policy(Bucket=bucket, Policy=policy)
            yield
        finally:
            client.delete_bucket_policy(Bucket=bucket)
            client.close()

    def parameters(self) -> Mapping[str, object]:
        dumped = self._config.model_dump(mode="json", exclude_unset=True)
        secret = ("access_key", "secret_key", "session_token")
        revealed = {
            name: value.get_secret_value()
            for name in secret
            if (value := getattr(self._config, name)) is not None
        }
        return {**dumped, **revealed}

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        return [
            ({}, "bucket"),
            ({"bucket": 7}, "bucket"),
            ({"bucket": "bucket", "preset": "nobody"}, "preset"),
            ({"bucket": "bucket", "secure": "perhaps"}, "secure"),
            ({"bucket": "bucket", "max_connections": 0}, "max_connections"),
            ({"bucket": "bucket", "objectacl": "everybody"}, "objectacl"),
            ({"bucket": "bucket", "v4auth": False}, "v4auth"),
            ({"bucket": "bucket", "colour": "red"}, "colour"),
        ]

    def offers(self, method: str) -> bool:
        if method == "read_only_store":
            return self._policies
        if method == "rotated_driver":
            return self._other_credentials is not None
        if method == "upstream_url":
            return self._config.endpoint_url is not None
        if method == "unauthenticated_driver":
            return self._config.access_key is not None
        return super().offers(method)

    def _with(self, **changes: object) -> StorageDriver:
        config = S3Config.model_validate({**self.parameters(), **changes})
        return self.driver_class(config)

    def _key(self, path: str) -> str:
        return self._root + path[1:]

    async def _keys(self, prefix: str) -> list[str]:
        found: list[str] = []
        pages = self._client.get_paginator("list_objects_v2")
        async for page in pages.paginate(Bucket=self._config.bucket, Prefix=prefix):
            found += [entry["Key"] for entry in page.get("Contents", ())]
        return found

    async def _uploads(self, prefix: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        pages = self._client.get_paginator("list_multipart_uploads")
        async for page in pages.paginate(Bucket=self._config.bucket, Prefix=prefix):
            found += [
                {"Key": entry["Key"], "UploadId": entry["UploadId"]}
                for entry in page.get("Uploads", ())
            ]
        return found


def _back_door(config: S3Config, loader: Any) -> Any:
    """Give the context of a client that owes nothing to the driver but what the SDK has read."""
    session = AioSession(profile=config.profile)
    session.register_component("data_loader", loader)
    return session.create_client(**_client_parameters(config), config=AioConfig(**_options(config)))


def _blocking_client(config: S3Config) -> Any:
    session = botocore.session.Session(profile=config.profile)
    return session.create_client(**_client_parameters(config), config=Config(**_options(config)))


def _options(config: S3Config) -> dict[str, Any]:
    return {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "path" if config.is_path_style else "auto"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "max_pool_connections": 32,
    }


def _client_parameters(config: S3Config) -> dict[str, Any]:
    access_key, secret_key, token = (
        None if secret is None else secret.get_secret_value()
        for secret in (config.access_key, config.secret_key, config.session_token)
    )
    return {
        "service_name": "s3",
        "region_name": config.region or config.traits.region,
        "endpoint_url": config.endpoint_url,
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "aws_session_token": token,
        "verify": False if config.skip_verify else None,
    }
