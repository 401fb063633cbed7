"""The client of aiobotocore that s3fs makes: its session, credentials and signing, nothing else.

What differs from a client as it comes:

- No retries: neither botocore's, nor s3fs's, nor aiohttp's own of a request on a kept connection.
  A repeated create-only write would find its own first attempt and call it another's.
- Times are parsed by the standard library, which makes a listing three times as cheap, and the
  user agent is a constant.
- What `max_connections` bounds is requests: an open reader, whose client may be slow for hours,
  keeps a connection, and keeps nobody else from having one.
- No `Expect: 100-continue`, which costs each part a round trip, and a larger buffer for reading.
- The SDK's DEBUG log is off unless asked for: it writes what requests carry, session tokens
  included.
- A success that is not what the operation answers (a proxy's page, say) is an error.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import logging
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from typing import Any

from aiobotocore.parsers import AioResponseParserFactory
from aiobotocore.session import AioSession
from botocore.handlers import add_expect_header
from s3fs import S3FileSystem

from storagedriver_s3._config import S3Config
from storagedriver_s3._direct import DirectCalls
from storagedriver_s3._session import OneAttemptSession
from storagedriver_s3._times import parse_timestamp

# Source: Amazon S3 API Reference, "Response Syntax" of each operation. How the names end differs
# from store to store.
ROOT_ELEMENTS = {
    "ListObjects": b"<ListBucket",
    "ListObjectsV2": b"<ListBucket",
    "ListParts": b"<ListParts",
    "ListMultipartUploads": b"<ListMultipartUploads",
    "CreateMultipartUpload": b"<InitiateMultipartUpload",
    "CompleteMultipartUpload": b"<CompleteMultipartUpload",
    "CopyObject": b"<CopyObject",
    "UploadPartCopy": b"<CopyPart",
    "DeleteObjects": b"<Delete",
}

SDK_LOGGERS = ("botocore", "aiobotocore", "s3fs", "fsspec", "storagedriver_s3._session")

# These have no document to tell of their success, and so no body.
BODILESS = {"DeleteObject", "AbortMultipartUpload"}

# Spaces that keep a slow answer alive come before the element.
_LOOK_FOR_ROOT_BYTES = 64 * 1024


class Connection:
    """One client for one endpoint; its connections live on the event loop that first uses it.

    Attributes:
        client: The client of aiobotocore.
        session: Its session.
    """

    def __init__(
        self, config: S3Config, filesystem: S3FileSystem, session: AioSession, client: Any
    ) -> None:
        self._filesystem = filesystem
        self.session = session
        self.client = client
        self._requests = asyncio.Semaphore(config.max_connections)
        self._calls = DirectCalls(
            client,
            config.bucket,
            signs_payload=_signs_payload(config),
            # Others carry checksums, which the SDK computes.
            is_plain=config.traits.checksums == "when_required",
        )

    @classmethod
    async def open(cls, config: S3Config, endpoint_url: str | None) -> Connection:
        """Make a client; sends nothing but what finding the credentials takes."""
        _quieten(config.loglevel)
        session = _session(config, await warm_loader())
        region = config.region or session.get_config_variable("region") or config.traits.region
        filesystem = S3FileSystem(
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
            session=session,
            anon=config.anonymous,
            key=_reveal(config.access_key),
            secret=_reveal(config.secret_key),
            token=_reveal(config.session_token),
            endpoint_url=endpoint_url,
            use_ssl=config.secure,
            client_kwargs={
                "region_name": region,
                # Without TLS there is nothing to verify, and no need to read certificates.
                "verify": False if config.skip_verify or is_plain(endpoint_url) else None,
            },
            config_kwargs=_client_options(config),
        )
        client = await filesystem.set_session()
        _adapt(client, delete_md5=config.traits.delete_md5)
        return cls(config, filesystem, session, client)

    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call of the client for the bucket, by the shortest way.

        Of an object no more than the head has come then.
        """
        async with self._requests:
            return await self._calls.call(method, parameters)

    async def get_object(self, key: str) -> tuple[dict[str, Any], bytes]:
        """Get a whole object: what the store says of it, and its bytes."""
        async with self._requests:
            answer = await self._calls.call("get_object", {"Key": key})
            with closing(answer["Body"]) as body:
                return answer, await body.read()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._filesystem._s3creator.__aexit__(None, None, None)


def is_plain(endpoint_url: str | None) -> bool:
    """Tell whether requests go without TLS."""
    return endpoint_url is not None and endpoint_url.startswith("http:")


def _quieten(level: str | bool | None) -> None:
    if isinstance(level, str) and level.lower().startswith("debug"):
        return
    for name in SDK_LOGGERS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _session(config: S3Config, loader: Any) -> AioSession:
    session = AioSession(profile=config.profile)
    # The description of the service is a megabyte of JSON, the same for every session.
    session.register_component("data_loader", loader)
    factory = AioResponseParserFactory()
    factory.set_parser_defaults(timestamp_parser=parse_timestamp)
    session.register_component("response_parser_factory", factory)
    return session


async def warm_loader() -> Any:
    """Give the descriptions of the service, read once; off the event loop, which it would block."""
    return _loader() if _loader.cache_info().currsize else await asyncio.to_thread(_loader)


@functools.cache
def _loader() -> Any:
    session = AioSession()
    session.warm_up_loader_caches("s3")
    return session.get_component("data_loader")


def _client_options(config: S3Config) -> dict[str, Any]:
    agent = f"storagedriver-s3/{version('storagedriver-s3')}"
    options: dict[str, Any] = {
        "signature_version": "s3v4",
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "request_checksum_calculation": config.traits.checksums,
        "response_checksum_validation": config.traits.checksums,
        "user_agent": f"{agent} {config.user_agent}" if config.user_agent else agent,
        "connect_timeout": config.connect_timeout,
        "read_timeout": config.read_timeout,
        # A limit of the pool would count open readers, and wait for them without an end.
        "max_pool_connections": 0,
        "s3": {
            "addressing_style": "path" if config.is_path_style else "auto",
            "payload_signing_enabled": _signs_payload(config),
            **({"use_accelerate_endpoint": True} if config.accelerate else {}),
        },
        "http_session_cls": OneAttemptSession,
    }
    if config.use_dualstack:
        options["use_dualstack_endpoint"] = True
    if config.use_fips:
        options["use_fips_endpoint"] = True
    return options


def _signs_payload(config: S3Config) -> bool:
    """Tell whether the bytes of objects are signed."""
    if config.payload_signing is None:
        return is_plain(config.endpoint_url)
    return config.payload_signing


def _adapt(client: Any, *, delete_md5: bool) -> None:
    events = client.meta.events
    events.unregister("before-call.s3", add_expect_header)
    events.register("before-parse.s3", _refuse_other_documents)
    if delete_md5:
        events.register_last("before-call.s3.DeleteObjects", _add_md5)


def _refuse_other_documents(
    operation_model: Any, response_dict: dict[str, Any], **_: object
) -> None:
    name = operation_model.name
    expected = ROOT_ELEMENTS.get(name)
    if (expected is None and name not in BODILESS) or response_dict["status_code"] >= 300:
        return
    body = response_dict["body"]
    if body if expected is None else expected not in body[:_LOOK_FOR_ROOT_BYTES]:
        # The SDK takes the status from here: a bad gateway.
        response_dict["status_code"] = 502
        response_dict["body"] = b""


def _add_md5(params: dict[str, Any], **_: object) -> None:
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    # In place of the checksum that the SDK would add, and that such stores refuse.
    params["context"]["checksum"] = {}


def _reveal(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()
