"""Ports of 127.0.0.1 that nobody else takes: neither a server started from here nor a client.

A port that was free a moment ago may be another's when the server binds it, and a server that lost
it may even look ready, since the winner answers in its place. So every port is claimed first, by an
abstract socket of its number: one claim a machine, gone with the process that holds it. Clients
take ephemeral ports, which lie above those that are given here.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 15_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """A set of ports, claimed until they are released.

    Args:
        count: How many.
        companion: The distance to a second port that comes with each, after all of the first; 0
            for none.

    Raises:
        OSError: There are no free ports.
    """

    def __init__(self, count: int, companion: int = 0) -> None:
        self._claims: list[socket.socket] = []
        self.numbers: list[int] = []
        offsets = (0, companion) if companion else (0,)
        highest = int(_RANGE.read_text().split()[0]) - companion
        # A machine where almost every port is ephemeral leaves nothing below them.
        span = range(LOWEST, highest if highest > LOWEST + 1000 else 60_000 - companion)
        found: list[int] = []
        for port in random.sample(span, len(span)):
            if len(found) == count:
                break
            claims = [_claim(port + offset) for offset in offsets]
            taken = [claim for claim in claims if claim]
            if len(taken) == len(offsets):
                self._claims += taken
                found.append(port)
            else:
                _close(taken)
        self.numbers = [port + offset for offset in offsets for port in found]
        if len(found) < count:
            self.release()
            raise OSError(f"{count} free ports were wanted; there are not so many")

    def release(self) -> None:
        """Let others have the ports."""
        _close(self._claims)
        self._claims.clear()
        self.numbers.clear()


def _close(claims: list[socket.socket]) -> None:
    for claim in claims:
        claim.close()


def _claim(port: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0storagedriver-servers-{port}")
    except OSError:
        claim.close()
        return None
    if not _is_free(port):
        claim.close()
        return None
    return claim


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Otherwise a connection that was closed a minute ago counts as somebody who listens.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
