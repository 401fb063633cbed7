"""Who counts what becomes of events. Here nobody; `storagedriver_registry.metrics` does."""

from __future__ import annotations


class EventCounter:
    """Is told of events. Called on the event loop."""

    def queued(self, endpoint: str) -> None:
        """An event waits to be sent."""

    def dropped(self, endpoint: str) -> None:
        """The queue is full, and an event is lost."""

    def answered(self, endpoint: str, status: int, events: int, *, is_accepted: bool) -> None:
        """The endpoint has answered a request with some events."""

    def failed(self, endpoint: str, events: int) -> None:
        """It has not."""

    def pending(self, endpoint: str, events: int) -> None:
        """So many events wait to be sent."""
