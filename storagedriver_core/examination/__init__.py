"""Finding out what stands against using a store: who we are to it, what works, what is missing."""

from __future__ import annotations

from storagedriver_core.examination._findings import Finding, Reporter

__all__ = ["Finding", "Reporter"]
