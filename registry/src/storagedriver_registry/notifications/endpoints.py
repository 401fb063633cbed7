"""To whom which events are sent."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

from storagedriver_core import ConfigurationError
from storagedriver_registry.configuration.models import EndpointSettings

# Source: distribution's `notifications/endpoint.go`, `defaults`.
_TIMEOUT_SECONDS = 1.0
_THRESHOLD = 10
_BACKOFF_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events are sent.

    Attributes:
        name: What it is called. What waits for it is kept under this name.
        url: Where to.
        headers: Headers of requests; secret.
        timeout: Seconds for a request.
        threshold: Failures, one after the other, before it is left alone for `backoff`.
        backoff: Seconds.
        ignored_media_types: Events of such content are not sent.
        ignored_actions: Nor these events.
    """

    name: str
    url: str
    headers: dict[str, str] = field(repr=False)
    timeout: float
    threshold: int
    backoff: float
    ignored_media_types: frozenset[str]
    ignored_actions: frozenset[str]

    def wants(self, action: str) -> bool:
        """Tell whether any event of the action may be sent."""
        return action not in self.ignored_actions

    def takes(self, action: str, media_type: str) -> bool:
        """Tell whether an event is sent."""
        return self.wants(action) and media_type not in self.ignored_media_types


def make_endpoints(settings: Sequence[EndpointSettings]) -> list[Endpoint]:
    """Give the endpoints that are not disabled.

    Raises:
        ConfigurationError: One has no URL, or two have one name.
    """
    endpoints: list[Endpoint] = []
    for index, one in enumerate(settings):
        if one.disabled:
            continue
        key = f"notifications.endpoints.{index}"
        parts = urlsplit(one.url or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"{key}.url: a URL of http or https is required")
        endpoint = _endpoint(one)
        if any(endpoint.name == other.name for other in endpoints):
            raise ConfigurationError(f"{key}.name: there is another endpoint of this name")
        endpoints.append(endpoint)
    return endpoints


def _endpoint(settings: EndpointSettings) -> Endpoint:
    parts = urlsplit(settings.url or "")
    user, separator, place = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=place))
    headers = {
        name: ", ".join(value.get_secret_value() for value in values)
        for name, values in settings.headers.items()
    }
    if separator and "authorization" not in {name.lower() for name in headers}:
        # As Go's client does it.
        encoded = base64.b64encode(unquote(user).encode()).decode()
        headers["Authorization"] = f"Basic {encoded}"
    ignore = settings.ignore
    return Endpoint(
        name=settings.name or url,
        url=url,
        headers=headers,
        timeout=settings.timeout or _TIMEOUT_SECONDS,
        threshold=settings.threshold or _THRESHOLD,
        backoff=settings.backoff or _BACKOFF_SECONDS,
        ignored_media_types=frozenset((*ignore.mediatypes, *settings.ignoredmediatypes)),
        ignored_actions=frozenset(ignore.actions),
    )
