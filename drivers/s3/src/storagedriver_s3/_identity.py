"""Who the driver is to its store, for people who look for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from storagedriver_core import StorageDriverError
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._errors import translating

# Source: `CredentialProvider.METHOD` of the classes in botocore/credentials.py.
SOURCES: Mapping[str, str] = {
    "env": "environment",
    "shared-credentials-file": "profile",
    "config-file": "profile",
    "boto-config": "profile",
    "custom-process": "profile",
    "assume-role": "profile",
    "assume-role-with-web-identity": "web identity",
    "sso": "profile",
    "login": "profile",
    "iam-role": "instance role",
    "container-role": "container role",
}


async def identity(bucket: Bucket) -> dict[str, str]:
    """Tell where the credentials come from, and where requests go."""
    config, connection = bucket.config, bucket.connection
    facts: dict[str, str] = {}
    if config.anonymous:
        facts["credentials"] = "anonymous"
    elif config.access_key is not None:
        facts["credentials"] = "configuration"
        facts["access_key"] = shorten(config.access_key.get_secret_value())
    else:
        facts.update(await _found(bucket))
    facts["endpoint"] = connection.client.meta.endpoint_url
    facts["bucket"] = config.bucket
    facts["region"] = connection.client.meta.region_name
    return facts


def shorten(access_key: str) -> str:
    """Give enough of an access key to tell it from others."""
    return f"{access_key[:4]}…{access_key[-4:]}" if len(access_key) > 12 else access_key[:4] + "…"


async def _found(bucket: Bucket) -> dict[str, str]:
    session = bucket.connection.session
    try:
        with translating(changes=False):
            credentials = await session.get_credentials()
            if credentials is None:
                return {"credentials": "none"}
            access_key = (await credentials.get_frozen_credentials()).access_key
    except StorageDriverError as error:
        return {"credentials": f"none: {error.message}"}
    source = SOURCES.get(credentials.method, credentials.method)
    if source == "profile":
        source = f"profile {session.get_config_variable('profile') or 'default'}"
    return {"credentials": source, "access_key": shorten(access_key)}
