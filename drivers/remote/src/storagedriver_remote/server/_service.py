"""A storage as it is served: opened when it is first asked for, and who holds which upload."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from storagedriver_core import Capabilities, Storage, StorageDriver, Upload
from storagedriver_remote._client import VERSION
from storagedriver_remote.server._checks import Checks

MOST_CONTENT_BYTES = 256 * 1024 * 1024
"""Bytes of content of one request at most: they are held in memory until they are whole."""

LEASE_SECONDS = 120.0

_logger = logging.getLogger(__name__)


class Service:
    """One storage, and the sessions of those who use it.

    Args:
        storage: Unopened; is closed with the service.
        lease_seconds: How long uploads are held for a client that is not heard of.

    Attributes:
        capabilities: What is served; known once it is open.
        checks: What is checked before the driver is called; as well.
    """

    capabilities: Capabilities
    checks: Checks

    def __init__(self, storage: Storage, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lease_seconds = lease_seconds
        self._storage = storage
        self._opening = asyncio.Lock()
        self._is_open = False
        self._sessions: dict[str, _Session] = {}
        self._sweep: asyncio.TimerHandle | None = None

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
                await self._storage.open()
                self.capabilities = carried(self._storage.capabilities)
                self.checks = Checks(self.capabilities)
                self._is_open = True

    async def aclose(self) -> None:
        """Close the storage."""
        if self._sweep is not None:
            self._sweep.cancel()
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

    # Leases ------------------------------------------------------------------------------------

    def heard_of(self, session: str) -> None:
        """Note that a client lives."""
        known = self._sessions.get(session)
        if known is not None:
            known.heard_at = asyncio.get_running_loop().time()

    def hold(self, session: str, upload: Upload) -> None:
        """Note that a client's writer holds an upload from now on."""
        now = asyncio.get_running_loop().time()
        self._sessions.setdefault(session, _Session(now)).held[_key(upload)] = upload
        if self._sweep is None:
            self._sweep_later()

    def release(self, session: str, upload: Upload) -> None:
        """Let an upload go."""
        self.forget(session, upload)
        self.driver.release_upload(upload)

    def forget(self, session: str, upload: Upload) -> None:
        """Note that there is nothing to hold any more."""
        known = self._sessions.get(session)
        if known is not None:
            known.held.pop(_key(upload), None)
            if not known.held:
                del self._sessions[session]

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(self.lease_seconds / 4, self._let_lost_go)

    def _let_lost_go(self) -> None:
        """Let go what is held for clients that are not heard of: they were killed, or are cut off.

        A writer that comes back all the same finds that another may have taken its upload over, as
        after any other failure.
        """
        self._sweep = None
        limit = asyncio.get_running_loop().time() - self.lease_seconds
        for name, session in list(self._sessions.items()):
            if session.heard_at < limit:
                _logger.warning("session %s is lost; its uploads are let go", name)
                del self._sessions[name]
                for upload in session.held.values():
                    self.driver.release_upload(upload)
        if self._sessions:
            self._sweep_later()


def carried(declared: Capabilities) -> Capabilities:
    """Narrow what a storage declares to what requests can carry."""
    narrowed: dict[str, Any] = {"local_path": False}
    for name in ("max_put_size", "max_part_size"):
        most = getattr(declared, name)
        if most is None or most > MOST_CONTENT_BYTES:
            narrowed[name] = MOST_CONTENT_BYTES
    return declared.narrow(narrowed)


@dataclass(slots=True)
class _Session:
    """What one client holds.

    Attributes:
        heard_at: When its last request came, by the loop's clock.
        held: The uploads that its writers hold, by name and holder.
    """

    heard_at: float
    held: dict[tuple[str, str], Upload] = field(default_factory=dict)


def _key(upload: Upload) -> tuple[str, str]:
    return upload.upload_id, upload.holder
