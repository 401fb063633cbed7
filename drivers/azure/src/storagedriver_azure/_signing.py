"""URLs that a plain HTTP client can use, signed by the account's key or a user delegation key.

Source: "Create a service SAS", "Create a user delegation SAS".
"""

from __future__ import annotations

import asyncio
import math
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from azure.storage.blob import UserDelegationKey, generate_blob_sas

from storagedriver_azure._connection import Connection
from storagedriver_core import (
    LimitExceededError,
    SignedMethod,
    UnavailableError,
    UnsupportedMethodError,
)

# Source: "Get User Delegation Key", `Expiry`. What such a key signs ends with it, whatever the URL
# says; the account's key has no such limit.
MOST_DELEGATED = timedelta(days=7)
# How long a key is asked for where no URL needs longer: less than it may be by what clocks may
# differ by.
_KEY_LIFE = MOST_DELEGATED - timedelta(hours=1)
_SKEW = timedelta(minutes=15)
_FIELDS = {
    "SignedOid": "signed_oid",
    "SignedTid": "signed_tid",
    "SignedStart": "signed_start",
    "SignedExpiry": "signed_expiry",
    "SignedService": "signed_service",
    "SignedVersion": "signed_version",
    "Value": "value",
}


_new_key: Any = UserDelegationKey  # untyped in the SDK


class Signer:
    """Signs URLs to read one blob (GET and HEAD) or to put it.

    Args:
        connection: The container.
        public_endpoint: What the URLs begin with; the connection's own if None.
    """

    def __init__(self, connection: Connection, public_endpoint: str | None) -> None:
        self._connection = connection
        self._endpoint = (public_endpoint or connection.endpoint).rstrip("/")
        self._lock = asyncio.Lock()
        self._delegated: Any = None
        self._delegated_until = datetime.min.replace(tzinfo=UTC)

    async def url(self, name: str, method: SignedMethod, expires: timedelta) -> str:
        """Give a URL that lets read the blob, or put it, for some time.

        A client that puts has to say `x-ms-blob-type: BlockBlob` in a header.

        Raises:
            LimitExceededError: A user delegation key signs, and the time is over seven days.
        """
        # The service's times have whole seconds.
        now = datetime.fromtimestamp(math.ceil(datetime.now(UTC).timestamp()), UTC)
        until = now + timedelta(seconds=math.ceil(expires.total_seconds()))
        credential = self._connection.service.credential
        account_key = getattr(credential, "account_key", None)
        if account_key is None and not hasattr(credential, "get_token"):
            # What the environment says is known only now.
            raise UnsupportedMethodError(capability=f"sign_{method.lower()}")
        delegated = None
        if not account_key:
            if expires > MOST_DELEGATED:
                raise LimitExceededError("a user delegation key signs for at most seven days")
            delegated = await self._delegation_key(now, until)
        signature = generate_blob_sas(
            self._connection.account,
            self._connection.container,
            name,
            account_key=account_key,
            user_delegation_key=delegated,
            permission="cw" if method == "PUT" else "r",
            expiry=until,
            # Over what is not encrypted anybody can read the URL, and so only an emulator is so.
            protocol="https" if self._endpoint.startswith("https:") else "https,http",
        )
        return f"{self._endpoint}/{self._connection.container}/{quote(name)}?{signature}"

    async def _delegation_key(self, now: datetime, until: datetime) -> Any:
        """Give a key that the service lets the credential's owner sign with."""
        async with self._lock:
            if self._delegated_until < until:
                end = max(now + _KEY_LIFE, until)
                # Its whole life counts, also what lies before now for clocks that are behind.
                start = max(now - _SKEW, end - MOST_DELEGATED)
                self._delegated = await self._ask_key(start, end)
                self._delegated_until = end
            return self._delegated

    async def _ask_key(self, start: datetime, end: datetime) -> Any:
        times = "".join(
            f"<{tag}>{when:%Y-%m-%dT%H:%M:%SZ}</{tag}>"
            for tag, when in (("Start", start), ("Expiry", end))
        )
        answer = await self._connection.request(
            "POST",
            None,
            url=f"{self._connection.endpoint}/?restype=service&comp=userdelegationkey",
            data=f"<?xml version='1.0' encoding='utf-8'?><KeyInfo>{times}</KeyInfo>".encode(),
        )
        try:
            root = ElementTree.fromstring(answer.body)
            key = _new_key()
            for tag, attribute in _FIELDS.items():
                text = root.findtext(tag)
                if text is None:
                    raise ValueError(tag)
                setattr(key, attribute, text)
        except (ElementTree.ParseError, ValueError) as error:
            raise UnavailableError("an answer that is no delegation key") from error
        return key
