"""Who holds which upload, and what becomes of it when that client is gone.

A driver that keeps a descriptor or a lock for an upload's writer is told when to let it go. A
client that was killed tells nothing: on a socket of this machine the end of its pulse connection
does, and elsewhere that it was not heard of for the time of a lease.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass, field

from storagedriver_core import StorageDriver, Upload

_logger = logging.getLogger(__name__)


class Sessions:
    """The clients of one driver.

    Args:
        driver: Is told what to let go.
        lease_seconds: How long uploads are held for a client that is not heard of.
    """

    def __init__(self, driver: StorageDriver, lease_seconds: float) -> None:
        self._driver = driver
        self._lease = lease_seconds
        self._sessions: dict[str, _Session] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def heard_of(self, name: str) -> None:
        """Note that a client lives."""
        known = self._sessions.get(name)
        if known is not None:
            known.heard_at = _now()

    def renew(self, name: str, pulse: asyncio.BaseTransport | None) -> None:
        """Note that a client lives, and which connection says so for as long as it is open."""
        known = self._known(name)
        known.pulse = pulse if pulse is not None and _is_local(pulse) else None

    def hold(self, name: str, upload: Upload) -> None:
        """Note that a client's writer holds an upload from now on."""
        known = self._known(name)
        if known.has_ended:
            known.pulse = None  # it was idle for long, and has another one soon
        known.held[_key(upload)] = upload

    def forget(self, name: str, upload: Upload) -> None:
        """Note that there is nothing to hold any more."""
        known = self._sessions.get(name)
        if known is not None:
            known.held.pop(_key(upload), None)

    def let_lost_go(self) -> None:
        """Let go what is held for clients that are gone.

        A writer that comes back all the same finds that another may have taken its upload over, as
        after any other failure.
        """
        limit = _now() - self._lease
        for name, session in list(self._sessions.items()):
            if session.has_ended or session.heard_at < limit:
                del self._sessions[name]
                for upload in session.held.values():
                    _logger.info("session %s is gone; %s is let go", name, upload.path)
                    self._driver.release_upload(upload)

    def close(self) -> None:
        """Look no more. The driver is closed next, and lets go of everything."""
        if self._sweep is not None:
            self._sweep.cancel()

    def _known(self, name: str) -> _Session:
        known = self._sessions.setdefault(name, _Session(_now()))
        known.heard_at = _now()
        if self._sweep is None:
            self._look_later()
        return known

    def _look_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._lease / 4, self._look)

    def _look(self) -> None:
        self._sweep = None
        self.let_lost_go()
        if self._sessions:
            self._look_later()


@dataclass(slots=True)
class _Session:
    """One client.

    Attributes:
        heard_at: When its last request came, by the loop's clock.
        pulse: The connection that lasts as long as the client; None where its end says nothing.
        held: The uploads that its writers hold, by name and holder.
    """

    heard_at: float
    pulse: asyncio.BaseTransport | None = None
    held: dict[tuple[str, str], Upload] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether the client is gone for certain."""
        return self.pulse is not None and self.pulse.is_closing()


def _key(upload: Upload) -> tuple[str, str]:
    return upload.upload_id, upload.holder


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_local(transport: asyncio.BaseTransport) -> bool:
    made = transport.get_extra_info("socket")
    return made is not None and made.family == socket.AF_UNIX
