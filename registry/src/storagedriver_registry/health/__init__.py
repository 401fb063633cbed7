"""What makes a registry unhealthy, as the section `health` of the configuration asks."""

# General layout. A module imports only from those above it:
#
#   checks      one look at a file, a URL, an address, the storage
#   status      what becomes of a check's results
#   monitor     all checks of one registry

from __future__ import annotations

from storagedriver_registry.health.checks import CheckFailedError
from storagedriver_registry.health.monitor import Health, make_health

__all__ = ["CheckFailedError", "Health", "make_health"]
