"""Who counts what the proxy does. Here nobody; `storagedriver_registry.metrics` does."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What clients ask for, in distribution's words."""

    BLOB = "blob"
    MANIFEST = "manifest"


class ProxyCounter:
    """Is told of requests and bytes. Called on the event loop."""

    def served(self, kind: Kind, size: int, *, is_hit: bool) -> None:
        """A client is sent so many bytes, which were cached or were not."""

    def fetched(self, kind: Kind, size: int) -> None:
        """So many bytes came from the upstream, since they were not cached."""
