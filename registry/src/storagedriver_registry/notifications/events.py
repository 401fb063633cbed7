"""What an event says. Source: distribution's `notifications/event.go`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

MEDIA_TYPE = "application/vnd.docker.distribution.events.v1+json"
"""Of an envelope."""

Action: TypeAlias = Literal["pull", "push", "mount", "delete"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        action: What was done.
        media_type: Of the content; empty where that is not told.
        text: All of it, as JSON.
    """

    action: Action
    media_type: str
    text: str


def make_event(
    action: Action,
    target: Mapping[str, Any],
    request: Mapping[str, str],
    actor: str,
    source: Mapping[str, str],
) -> Event:
    """Make an event of now.

    Args:
        action: What was done.
        target: To what.
        request: By which request.
        actor: Who asked; empty if that is not known.
        source: Which registry says so.
    """
    event = {
        "id": str(uuid.uuid4()),
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "action": action,
        "target": {key: value for key, value in target.items() if value not in (None, "", [])},
        "request": request,
        "actor": {"name": actor} if actor else {},
        "source": source,
    }
    media_type = str(target.get("mediaType") or "")
    return Event(action, media_type, json.dumps(event, separators=(",", ":")))


def envelope(texts: Iterable[str]) -> bytes:
    """Give the body that carries events."""
    return f'{{"events":[{",".join(texts)}]}}'.encode()
