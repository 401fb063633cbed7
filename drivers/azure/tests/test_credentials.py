"""Credentials that end while an upload goes on, and what the driver tells of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.storage.blob._shared.policies_async import AsyncStorageBearerTokenCredentialPolicy
from storagedriver_azure._config import AzureConfig
from storagedriver_azure._connection import Connection
from storagedriver_azure._driver import AzureDriver
from storagedriver_azure.harness import AzureHarness

from storagedriver_core import Storage, StorageDriver


class ShortLived:
    """A credential whose tokens are over at once, so that each request asks for a new one."""

    def __init__(self) -> None:
        self.given: list[str] = []

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.given.append(f"token-{len(self.given)}")
        return AccessToken(self.given[-1], int(time.time()) + 1)

    async def close(self) -> None:
        """Nothing is held."""


class Swapped:
    """Asks for a token of the credential before each request, and then signs by the key.

    Azurite takes tokens over HTTPS alone: what is shown is that each part asks anew, in the SDK's
    own policy, and that nothing keeps the first answer.
    """

    def __init__(self, connection: Connection, credential: ShortLived) -> None:
        self.sent: list[str] = []
        sent, signing = self.sent, connection.service._credential_policy
        owner: Any = credential
        policy: Any = AsyncStorageBearerTokenCredentialPolicy(owner, "https://x/.default")

        class Sign(SansIOHTTPPolicy):  # type: ignore[type-arg]  # of any request
            def on_request(self, request: Any) -> None:
                sent.append(request.http_request.headers.pop("Authorization"))
                signing.on_request(request)

        class AllowHttp(SansIOHTTPPolicy):  # type: ignore[type-arg]  # of any request
            def on_request(self, request: Any) -> None:
                request.context.options["enforce_https"] = False

        transport = connection._pipeline._transport
        connection._pipeline = AsyncPipeline(transport, [AllowHttp(), policy, Sign()])


def test_each_part_is_signed_with_a_credential_of_its_time(azure_harness: AzureHarness) -> None:
    async def run() -> None:
        await azure_harness.start()
        try:
            driver: Any = azure_harness.driver()
            async with Storage(driver, part_size=1000) as storage:
                credential = ShortLived()
                swapped = Swapped(driver._connection, credential)
                async with await storage.writer("/a") as writer:
                    for _ in range(5):
                        await writer.write(bytes(1000))
                    await writer.commit()
                assert await storage.get_content("/a") == bytes(5000)
            assert len(swapped.sent) == 8  # an anchor, parts, a commit and a get
            assert len(set(swapped.sent)) > 5
        finally:
            await azure_harness.stop()

    asyncio.run(run())


def test_upload_goes_on_with_other_credentials(azure_harness: AzureHarness) -> None:
    async def run() -> None:
        await azure_harness.start()
        try:
            data = bytes(range(256)) * 20
            token = await _begin(azure_harness.driver(), data[:3000])
            async with (
                Storage(azure_harness.rotated_driver(), part_size=1000) as storage,
                await storage.resume(token) as writer,
            ):
                await writer.write(data[3000:])
                await writer.commit()
            assert await azure_harness.raw_get("/a") == data
        finally:
            await azure_harness.stop()

    async def _begin(driver: StorageDriver, data: bytes) -> str:
        async with Storage(driver, part_size=1000) as storage:
            writer = await storage.writer("/a")
            await writer.write(data)
            return (await writer.suspend()).to_json()

    asyncio.run(run())


class Principal:
    """A credential that has the claims of its token, or none."""

    def __init__(self, claims: object) -> None:
        self._claims = claims

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        if isinstance(self._claims, Exception):
            raise self._claims
        claims = base64.urlsafe_b64encode(json.dumps(self._claims).encode()).decode().rstrip("=")
        return AccessToken(f"e30.{claims}.", 0)

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("claims", "credentials", "principal"),
    [
        ({"appid": "the-app", "oid": "o"}, "Principal", "the-app"),
        ([], "Principal", None),
        (ClientAuthenticationError("secret"), "none: no credential could be had", None),
        (OSError("secret"), "none: the connection was lost", None),
    ],
)
def test_identity_tells_what_it_can_whatever_the_credential_does(
    claims: object, credentials: str, principal: str | None
) -> None:
    config = AzureConfig.model_validate(
        {"account_name": "a", "container": "layers", "account_key": "a2V5"}
    )

    async def ask() -> dict[str, str]:
        driver = AzureDriver(config)
        await driver.open()
        try:
            assert driver._opened is not None
            driver._opened.service.credential = Principal(claims)
            return dict(await driver.identity())
        finally:
            await driver.aclose()

    told = asyncio.run(ask())
    assert told["credentials"].startswith(credentials) and "secret" not in str(told)
    assert told.get("principal") == principal
    assert (told["account"], told["container"]) == ("a", "layers")
