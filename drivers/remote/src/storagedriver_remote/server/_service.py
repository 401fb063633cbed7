"""A storage as it is served: opened when it is first asked for."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from storagedriver_core import Capabilities, Storage, StorageDriver
from storagedriver_remote._client import VERSION
from storagedriver_remote.server._checks import Checks
from storagedriver_remote.server._guard import Guard, driver_errors
from storagedriver_remote.server._room import Room
from storagedriver_remote.server._sessions import Sessions

MOST_CONTENT_BYTES = 256 * 1024 * 1024
"""Bytes of content of one request at most: they are held in memory until they are whole."""

HELD_BYTES = 2 * MOST_CONTENT_BYTES
"""Bytes of all such requests together; a body for which there is no room is not read yet."""

LEASE_SECONDS = 120.0


class Service:
    """One storage, for everybody who asks.

    Args:
        storage: Unopened; is closed with the service.
        lease_seconds: How long uploads are held for a client that is not heard of.
        held_bytes: What requests with content take of memory together.

    Attributes:
        room: Memory for what requests carry.
        capabilities: What is served; known once it is open.
        guard: The driver as calls use it; as the next two, known once it is open.
        checks: What is checked before the driver is called.
        sessions: Who holds which upload.
        under_way: Calls with one answer that are not over.
    """

    capabilities: Capabilities
    guard: Guard
    checks: Checks
    sessions: Sessions
    under_way: int

    def __init__(
        self,
        storage: Storage,
        *,
        lease_seconds: float = LEASE_SECONDS,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.lease_seconds = lease_seconds
        self.room = Room(held_bytes)
        self._storage = storage
        self.under_way = 0
        self._opening = asyncio.Lock()
        self._is_open = False

    @property
    def driver(self) -> StorageDriver:
        """The driver that answers."""
        return self._storage.driver

    async def open(self) -> None:
        """Open the storage, if it is not open yet.

        Raises:
            StorageDriverError: What stands against it; the next who asks tries again.
        """
        if self._is_open:
            return
        async with self._opening:
            if not self._is_open:
                with driver_errors("open"):
                    await self._storage.open()
                    self.capabilities = carried(self._storage.capabilities)
                self.guard = Guard(self.driver)
                self.checks = Checks(self.capabilities)
                self.sessions = Sessions(self.driver, self.lease_seconds)
                self._is_open = True

    async def aclose(self) -> None:
        """Close the storage."""
        if self._is_open:
            self.sessions.close()
        self._is_open = False
        await self._storage.aclose()

    def handshake(self) -> dict[str, Any]:
        """Say who is here."""
        return {
            "protocol": VERSION,
            "server": f"storagedriver-remote/{version('storagedriver-remote')}",
            "driver": self._storage.driver_name,
            "capabilities": self.capabilities.to_json(),
            "wanted_digests": list(self.driver.wanted_digests),
            "lease_seconds": self.lease_seconds,
        }


def carried(declared: Capabilities) -> Capabilities:
    """Narrow what a storage declares to what requests can carry."""
    narrowed: dict[str, Any] = {"local_path": False}
    for name in ("max_put_size", "max_part_size"):
        most = getattr(declared, name)
        if most is None or most > MOST_CONTENT_BYTES:
            narrowed[name] = MOST_CONTENT_BYTES
    return declared.narrow(narrowed)
