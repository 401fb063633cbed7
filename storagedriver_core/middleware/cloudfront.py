"""Sends clients that read to Amazon CloudFront, by signed URLs.

Source: Amazon CloudFront Developer Guide, "Create a signed URL using a canned policy".
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from storagedriver_core._client_address import client_address
from storagedriver_core._driver import StorageDriver
from storagedriver_core._durations import parse_duration
from storagedriver_core._errors import ConfigurationError
from storagedriver_core._types import SignedMethod
from storagedriver_core.middleware._extras import import_extra
from storagedriver_core.middleware._ip_ranges import IpRanges
from storagedriver_core.middleware._urls import BaseUrl, UrlMiddleware, escape_path

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_AMAZON = "https://ip-ranges.amazonaws.com/ip-ranges.json"
# The three characters of Base64 that a query cannot hold.
_FOR_QUERIES = str.maketrans("+=/", "-_~")


def _with_scheme(value: object) -> object:
    return f"https://{value}" if isinstance(value, str) and "://" not in value else value


def _seconds(value: object) -> object:
    if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
        return parse_duration(value)
    return value


def _word(value: object) -> object:
    return value.strip().lower() or "none" if isinstance(value, str) else value


def _words(value: object) -> object:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return tuple(one.strip().lower() if isinstance(one, str) else one for one in value)
    return value


_Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


class CloudFrontParameters(BaseModel):
    """Parameters of `cloudfront`. docker/distribution's spellings are accepted as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    base_url: Annotated[BaseUrl, BeforeValidator(_with_scheme)] = Field(
        validation_alias=AliasChoices("base_url", "baseurl"),
        description="URL of the CloudFront distribution; https without a scheme.",
    )
    private_key: Path = Field(
        validation_alias=AliasChoices("private_key", "privatekey"),
        description="File of the RSA key that signs, in PEM.",
    )
    key_pair_id: str = Field(
        validation_alias=AliasChoices("key_pair_id", "keypairid"),
        min_length=1,
        description="Id that CloudFront has given to the public key.",
    )
    duration: _Seconds | None = Field(
        None,
        description="Seconds that a URL holds, or text as 20m; by default as long as is asked for.",
    )
    ip_filtered_by: Annotated[Literal["none", "aws", "awsregion"], BeforeValidator(_word)] = Field(
        "none",
        validation_alias=AliasChoices("ip_filtered_by", "ipfilteredby"),
        description="Which clients get the driver's own URL: none, those at AWS, or those in some "
        "of its regions.",
    )
    aws_region: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        (),
        validate_default=True,
        validation_alias=AliasChoices("aws_region", "awsregion"),
        description="The regions, for awsregion; a list, or text with commas.",
    )
    update_frequency: _Seconds = Field(
        12 * 3600.0,
        validation_alias=AliasChoices("update_frequency", "updatefrequency", "updatefrenquency"),
        description="Seconds, or text as 12h, after which the addresses of AWS are fetched again.",
    )
    ip_ranges_url: str = Field(
        _AMAZON,
        pattern="^https?://",
        validation_alias=AliasChoices("ip_ranges_url", "iprangesurl"),
        description="Where the addresses of AWS are listed.",
    )

    @field_validator("aws_region")
    @classmethod
    def _needed_by_the_filter(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("ip_filtered_by") == "awsregion" and not value:
            raise ValueError("the filter 'awsregion' needs at least one region")
        return value


class CloudFrontMiddleware(UrlMiddleware):
    """Signs URLs for `GET` and `HEAD` that CloudFront checks by the public key.

    The path in it is the name that the store has for the file, root directory included: the
    distribution's origin is the bucket itself. Of clients at AWS, whom the filter names, those go
    to the store as before, if the driver signs URLs.

    Raises:
        ConfigurationError: `cryptography` is not installed; or, from `open`, the file holds no RSA
            key in PEM, or one with a password.
    """

    def __init__(self, driver: StorageDriver, parameters: CloudFrontParameters) -> None:
        super().__init__(driver)
        import_extra("cryptography", "cloudfront")
        self._parameters = parameters
        self._key: RSAPrivateKey | None = None
        self._at_amazon: IpRanges | None = None
        if parameters.ip_filtered_by != "none":
            regions = parameters.aws_region if parameters.ip_filtered_by == "awsregion" else ()
            self._at_amazon = IpRanges(
                parameters.ip_ranges_url, regions, parameters.update_frequency
            )

    def __reduce__(self) -> tuple[object, ...]:
        # Neither the key nor what fetches the addresses goes to another process.
        return (CloudFrontMiddleware, (self.driver, self._parameters))

    async def open(self) -> None:
        self._key = await asyncio.to_thread(_read_key, self._parameters.private_key)
        if self._at_amazon is not None:
            await self._at_amazon.open()
        await super().open()

    async def aclose(self) -> None:
        try:
            if self._at_amazon is not None:
                await self._at_amazon.aclose()
        finally:
            await super().aclose()

    async def reading_url(self, path: str, method: SignedMethod, expires: timedelta) -> str:
        if self._goes_to_the_store(method):
            return await self.driver.redirect_url(path, method=method, expires=expires)
        name = await self.driver.stored_name(path)
        seconds = self._parameters.duration or expires.total_seconds()
        url = f"{self._parameters.base_url}/{escape_path(name)}"
        return self._signed(url, math.ceil(time.time() + seconds))

    def _goes_to_the_store(self, method: SignedMethod) -> bool:
        if self._at_amazon is None or not self._at_amazon.hold(client_address.get()):
            return False
        return bool(getattr(self.driver.capabilities, f"sign_{method.lower()}"))

    def _signed(self, url: str, until: int) -> str:
        # Imported here: whoever uses no CloudFront need not have it.
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA1

        assert self._key is not None, "the middleware is open"
        condition = {"DateLessThan": {"AWS:EpochTime": until}}
        policy = {"Statement": [{"Resource": url, "Condition": condition}]}
        text = json.dumps(policy, separators=(",", ":"), ensure_ascii=False)
        # CloudFront takes no other digest. About a millisecond: not worth a thread.
        signature = self._key.sign(text.encode(), PKCS1v15(), SHA1())  # see above
        spelt = base64.b64encode(signature).decode().translate(_FOR_QUERIES)
        return f"{url}?Expires={until}&Signature={spelt}&Key-Pair-Id={self._parameters.key_pair_id}"


def _read_key(file: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        # What cryptography says of a key that it cannot read holds nothing of it.
        raise ConfigurationError(f"cloudfront: the private key {file}: {error}") from error
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"cloudfront: the private key {file} is no RSA key")
    return key
