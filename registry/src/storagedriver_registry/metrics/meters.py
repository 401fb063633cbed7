"""Every metric.

Source of the names that begin with `registry_`: distribution 3, `metrics`, `registry/handlers`,
`registry/storage`, `registry/proxy` and `notifications`, with what docker/go-metrics makes of them.
Those that it does not have begin with `storagedriver_registry_`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib.metadata import version

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from storagedriver_registry.metrics.sharing import VARIABLE, forget_the_dead

# Source: docker/go-metrics, `handler.go`.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)
_BYTES = tuple(1024.0 * 2**power for power in range(22))
# Source: client_golang, `DefBuckets`; go-metrics' timers have them.
_ACTION_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Media type of what `Meters.exposition` gives."""


_OF_CALLS = (
    *(f"storagedriver_call_seconds_{part}" for part in ("bucket", "count", "sum")),
    "storagedriver_call_bytes_total",
    "storagedriver_call_errors_total",
    "storagedriver_open_readers",
)


class _CallsOfDrivers(Collector):
    """What the core's middleware `metrics` has measured, in prometheus-client's own registry."""

    def collect(self) -> Iterable[Metric]:
        found: Iterable[Metric] = REGISTRY.restricted_registry(_OF_CALLS).collect()
        return found


class Meters:
    """The metrics of one registry. `docs/metrics.md` says what each counts.

    Where several processes serve, each counts for itself in a directory that they share, and
    whichever is asked adds up.
    """

    def __init__(self) -> None:
        # A series beside each other one, which distribution's do not have.
        disable_created: Callable[[], object] = disable_created_metrics  # without types
        disable_created()
        self._registry = CollectorRegistry()
        self._add_requests()
        self._add_storage()
        self._add_notifications()
        self._add_proxy()
        self._directory = os.environ.get(VARIABLE)
        if self._directory is None:
            ProcessCollector(registry=self._registry)
            # Where there is a directory, they are in it.
            self._registry.register(_CallsOfDrivers())

    def _add_requests(self) -> None:
        own = self._registry
        self.requests = Counter(
            "registry_http_requests",
            "Total number of HTTP requests made.",
            ["handler", "code", "method"],
            registry=own,
        )
        self.request_seconds = Histogram(
            "registry_http_request_duration_seconds",
            "The HTTP request latencies in seconds.",
            ["handler", "method"],
            buckets=_SECONDS,
            registry=own,
        )
        self.requests_in_flight = Gauge(
            "registry_http_in_flight_requests",
            "The in-flight HTTP requests.",
            ["handler"],
            multiprocess_mode="livesum",
            registry=own,
        )
        self.request_bytes = Histogram(
            "registry_http_request_size_bytes",
            "The HTTP request sizes in bytes.",
            ["handler"],
            buckets=_BYTES,
            registry=own,
        )
        self.response_bytes = Histogram(
            "registry_http_response_size_bytes",
            "The HTTP response sizes in bytes.",
            ["handler"],
            buckets=_BYTES,
            registry=own,
        )

    def _add_storage(self) -> None:
        own = self._registry
        self.storage_seconds = Histogram(
            "registry_storage_action_seconds",
            "The number of seconds that the storage action takes.",
            ["driver", "action"],
            buckets=_ACTION_SECONDS,
            registry=own,
        )
        self.cache = Counter(
            "registry_storage_cache",
            "The number of cache request received.",
            ["type"],
            registry=own,
        )
        self.storage_errors = Counter(
            "storagedriver_registry_storage_errors",
            "Storage actions that failed.",
            ["driver", "action", "error"],
            registry=own,
        )
        self.storage_bytes = Counter(
            "storagedriver_registry_storage_bytes",
            "Bytes that storage actions moved.",
            ["driver", "action"],
            registry=own,
        )
        info = Gauge(
            "storagedriver_registry_info",
            "Always 1; the label says which version serves.",
            ["version"],
            multiprocess_mode="livemax",
            registry=own,
        )
        info.labels(version("storagedriver-registry")).set(1)
        self.health = Gauge(
            "storagedriver_registry_health_failing",
            "Health checks that fail.",
            multiprocess_mode="livemostrecent",
            registry=own,
        )

    def _add_notifications(self) -> None:
        own = self._registry
        self.events = Counter(
            "registry_notifications_events",
            "The number of total events.",
            ["type", "endpoint"],
            registry=own,
        )
        self.events_pending = Gauge(
            "registry_notifications_pending_total",
            "The gauge of pending events in queue.",
            ["endpoint"],
            multiprocess_mode="mostrecent",
            registry=own,
        )
        self.event_answers = Counter(
            "registry_notifications_status",
            "The number of status code.",
            ["code", "endpoint"],
            registry=own,
        )
        self.events_dropped = Counter(
            "storagedriver_registry_notifications_dropped",
            "Events that a full queue did not take.",
            ["endpoint"],
            registry=own,
        )

    def _add_proxy(self) -> None:
        own = self._registry
        self.proxy_requests = Counter(
            "registry_proxy_requests",
            "The number of total incoming proxy request received.",
            ["type"],
            registry=own,
        )
        self.proxy_hits = Counter(
            "registry_proxy_hits",
            "The number of total proxy request hits.",
            ["type"],
            registry=own,
        )
        self.proxy_misses = Counter(
            "registry_proxy_misses",
            "The number of total proxy request misses.",
            ["type"],
            registry=own,
        )
        self.proxy_pulled_bytes = Counter(
            "registry_proxy_pulled_bytes",
            "The size of total bytes pulled from the upstream.",
            ["type"],
            registry=own,
        )
        self.proxy_pushed_bytes = Counter(
            "registry_proxy_pushed_bytes",
            "The size of total bytes pushed to the client.",
            ["type"],
            registry=own,
        )

    def exposition(self) -> bytes:
        """Give all of them, in Prometheus' text format. Called on any thread."""
        if self._directory is None:
            return generate_latest(self._registry)
        forget_the_dead(self._directory)
        together = CollectorRegistry()
        collector: Callable[..., object] = MultiProcessCollector  # without types
        collector(together, path=self._directory)
        return generate_latest(together)
