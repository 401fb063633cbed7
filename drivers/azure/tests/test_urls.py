"""Signed URLs: in a plain HTTP client, and by a user delegation key, which Azurite has none of."""

from __future__ import annotations

import asyncio
import base64
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from storagedriver_azure._connection import Answer
from storagedriver_azure._signing import MOST_DELEGATED, Signer
from storagedriver_azure.harness import AzureHarness

from storagedriver_core import LimitExceededError, Storage


@pytest.mark.parametrize(
    "path", ["/a b/ü?#%41'x", "/a&b=c;d+e", "/%2F", "/a\\b", "/ends.", "/😀", "/~!$()*,:@"]
)
def test_url_has_odd_names_and_takes_ranges(azure_harness: AzureHarness, path: str) -> None:
    async def run() -> None:
        await azure_harness.start()
        try:
            await azure_harness.raw_put(path, b"0123456789")
            async with Storage(azure_harness.driver()) as storage, httpx.AsyncClient() as client:
                url = await storage.redirect_url(path, expires=timedelta(minutes=1))
                whole = await client.get(url)
                assert (whole.status_code, whole.content) == (200, b"0123456789")
                for given, expected in (("bytes=2-4", b"234"), ("bytes=7-", b"789")):
                    part = await client.get(url, headers={"Range": given})
                    assert (part.status_code, part.content) == (206, expected)
        finally:
            await azure_harness.stop()

    asyncio.run(run())


class Delegating:
    """Stands for a connection of a principal: gives a key for any time that is asked for.

    Attributes:
        asked: Start and end of the key of each request.
    """

    account, container, endpoint = "account", "container", "https://account.blob.core.windows.net"

    def __init__(self) -> None:
        self.service = SimpleNamespace(credential=SimpleNamespace(get_token=None))
        self.asked: list[tuple[datetime, datetime]] = []

    async def request(self, *_: Any, data: bytes, **__: Any) -> Answer:
        start, end = re.findall(r"<(?:Start|Expiry)>(.*?)<", data.decode())
        self.asked.append((datetime.fromisoformat(start), datetime.fromisoformat(end)))
        fields = {
            "SignedOid": "oid",
            "SignedTid": "tid",
            "SignedStart": start,
            "SignedExpiry": end,
            "SignedService": "b",
            "SignedVersion": "2026-02-06",
            "Value": base64.b64encode(bytes(32)).decode(),
        }
        elements = "".join(f"<{tag}>{text}</{tag}>" for tag, text in fields.items())
        body = f"<UserDelegationKey>{elements}</UserDelegationKey>"
        return Answer(200, {}, body.encode())


def signed_by(connection: Any, expires: timedelta) -> dict[str, str]:
    url = asyncio.run(Signer(connection, None).url("a", "GET", expires))
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_delegation_key_signs_for_seven_days_and_is_not_asked_for_longer() -> None:
    connection = Delegating()
    before = datetime.now(UTC)
    query = signed_by(connection, MOST_DELEGATED)
    end = datetime.fromisoformat(query["se"])
    assert (
        before + MOST_DELEGATED <= end <= datetime.now(UTC) + MOST_DELEGATED + timedelta(seconds=1)
    )
    ((start, key_end),) = connection.asked
    assert key_end == end and key_end - start <= MOST_DELEGATED
    with pytest.raises(LimitExceededError, match="seven days"):
        signed_by(connection, MOST_DELEGATED + timedelta(seconds=1))
    assert len(connection.asked) == 1  # refused before anything is sent


def test_part_of_a_second_is_not_cut_off() -> None:
    before = datetime.now(UTC)
    almost = timedelta(milliseconds=999)
    end = datetime.fromisoformat(signed_by(Delegating(), almost)["se"])
    assert end >= before + almost


def test_one_delegation_key_signs_many_urls() -> None:
    connection = Delegating()

    async def sign() -> None:
        signer = Signer(connection, None)  # type: ignore[arg-type]  # a stub
        for hours in (1, 2, 100):
            await signer.url("a", "GET", timedelta(hours=hours))

    asyncio.run(sign())
    ((start, end),) = connection.asked
    assert end - start <= MOST_DELEGATED


def test_key_of_the_account_signs_for_longer_and_times_are_rounded_up(
    azure_harness: AzureHarness,
) -> None:
    async def run() -> str:
        async with Storage(azure_harness.driver()) as storage:
            return await storage.redirect_url("/a", expires=timedelta(days=30, microseconds=1))

    before = datetime.now(UTC)
    query = parse_qs(urlsplit(asyncio.run(run())).query)
    assert datetime.fromisoformat(query["se"][0]) >= before + timedelta(days=30)
