"""Amazon's own addresses, by region, as Amazon publishes them."""

from __future__ import annotations

import asyncio
import bisect
import ipaddress
import json
import logging
import time
from collections.abc import Collection, Iterable
from typing import Any

logger = logging.getLogger(__name__)

_SECONDS = 10.0
# Far more than the list has.
_MOST_BYTES = 64 * 1024 * 1024


class IpRanges:
    """The ranges at a URL, fetched anew now and then, in the background.

    Args:
        url: Where the list is. Source: Amazon VPC User Guide, "AWS IP address ranges".
        regions: Regions that count, in lower case; empty for all.
        update_frequency: Seconds after which the list is old.
    """

    def __init__(self, url: str, regions: Collection[str], update_frequency: float) -> None:
        self._url = url
        self._regions = frozenset(regions)
        self._frequency = update_frequency
        self._ranges: dict[int, list[tuple[int, int]]] = {}
        self._fetched = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Fetch the list; without it, nobody is known to be at Amazon."""
        await self._fetch()

    async def aclose(self) -> None:
        """Stop fetching."""
        task, self._fetching = self._fetching, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def hold(self, address: str) -> bool:
        """Tell whether an address is in them; not, if it is none."""
        is_old = time.monotonic() - self._fetched > self._frequency
        if is_old and (self._fetching is None or self._fetching.done()):
            self._fetching = asyncio.create_task(self._fetch())
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        ranges = self._ranges.get(known.version, [])
        at = bisect.bisect_right(ranges, int(known), key=lambda one: one[0]) - 1
        return at >= 0 and int(known) <= ranges[at][1]

    async def _fetch(self) -> None:
        self._fetched = time.monotonic()  # a list that cannot be had is not asked for at once again
        try:
            self._ranges = await asyncio.to_thread(self._read)
        # Whatever is wrong with the list, clients can be sent to the other place.
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s: no list of addresses: %s", self._url, error)

    def _read(self) -> dict[int, list[tuple[int, int]]]:
        # Imported here: every process imports this module, and few ask.
        import urllib.request
        from http.client import HTTPException

        try:
            with urllib.request.urlopen(self._url, timeout=_SECONDS) as answer:
                content = answer.read(_MOST_BYTES)
        except HTTPException as error:
            raise ValueError(f"it is no answer of HTTP: {error!r}") from error
        document: dict[str, Any] = json.loads(content)
        networks = {4: self._networks(document.get("prefixes", ()), "ip_prefix")}
        networks[6] = self._networks(document.get("ipv6_prefixes", ()), "ipv6_prefix")
        return {version: _merged(found) for version, found in networks.items()}

    def _networks(self, entries: Iterable[dict[str, str]], key: str) -> list[tuple[int, int]]:
        found = []
        for entry in entries:
            if not self._regions or entry["region"].lower() in self._regions:
                network = ipaddress.ip_network(entry[key], strict=False)
                found.append((int(network[0]), int(network[-1])))
        return found


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give the same addresses as ranges in order, of which none begins inside another."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
