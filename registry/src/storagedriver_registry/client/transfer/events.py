"""What a transfer tells while it is at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from storagedriver_registry.client.transfer.places import Blob


@dataclass(frozen=True, slots=True)
class TransferEvent:
    """One step of one blob.

    Attributes:
        kind: `begun`; `moved` (bytes have gone over, or were sent again after a break); `copied`,
            `present`, `mounted`, `verified` (it is over).
        blob: The blob.
        offset: Bytes of it that are done.
    """

    kind: Literal["begun", "moved", "copied", "present", "mounted", "verified"]
    blob: Blob
    offset: int = 0


OnEvent: TypeAlias = Callable[[TransferEvent], None]
"""Is told of events, in the event loop's thread; must not block."""


def ignore(event: TransferEvent) -> None:
    """Do nothing with an event."""
