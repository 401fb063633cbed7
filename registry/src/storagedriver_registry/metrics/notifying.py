"""Counts notifications."""

from __future__ import annotations

from http import HTTPStatus

from storagedriver_registry.metrics.meters import Meters
from storagedriver_registry.notifications import EventCounter


class MeteredEvents(EventCounter):
    """Counts them by distribution's names."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def queued(self, endpoint: str) -> None:
        """Count an event that waits to be sent."""
        self._meters.events.labels("Events", endpoint).inc()

    def dropped(self, endpoint: str) -> None:
        """Count an event that is lost."""
        self._meters.events_dropped.labels(endpoint).inc()

    def answered(self, endpoint: str, status: int, events: int, *, is_accepted: bool) -> None:
        """Count an answer, and the events that it is about."""
        kind = "Successes" if is_accepted else "Failures"
        self._meters.events.labels(kind, endpoint).inc(events)
        self._meters.event_answers.labels(_spelt(status), endpoint).inc()

    def failed(self, endpoint: str, events: int) -> None:
        """Count events of a request without an answer."""
        self._meters.events.labels("Errors", endpoint).inc(events)

    def pending(self, endpoint: str, events: int) -> None:
        """Note how many wait."""
        self._meters.events_pending.labels(endpoint).set(events)


def _spelt(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} "
