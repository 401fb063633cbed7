"""Counts what the proxy does."""

from __future__ import annotations

from storagedriver_registry.metrics.meters import Meters
from storagedriver_registry.proxy.counting import Kind, ProxyCounter


class MeteredProxy(ProxyCounter):
    """Counts it by distribution's names."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        for kind in Kind:
            # All of them are there from the start, as in distribution.
            for meter in (
                *(meters.proxy_requests, meters.proxy_hits, meters.proxy_misses),
                *(meters.proxy_pulled_bytes, meters.proxy_pushed_bytes),
            ):
                meter.labels(kind)

    def served(self, kind: Kind, size: int, *, is_hit: bool) -> None:
        """Count an answer to a client."""
        self._meters.proxy_requests.labels(kind).inc()
        self._meters.proxy_pushed_bytes.labels(kind).inc(size)
        if is_hit:
            self._meters.proxy_hits.labels(kind).inc()

    def fetched(self, kind: Kind, size: int) -> None:
        """Count what came from the upstream."""
        self._meters.proxy_misses.labels(kind).inc()
        self._meters.proxy_pulled_bytes.labels(kind).inc(size)
