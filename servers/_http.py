"""One plain HTTP request, for probes: no proxy, no redirect, no connection kept."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Say whether the status is one of the 200s."""
        return 200 <= self.status < 300

    def check(self) -> None:
        """Raise `OSError` unless it is a success."""
        if not self.is_success:
            text = self.body[:500].decode(errors="replace")
            raise OSError(f"the server answered {self.status}: {text}")


def request(
    method: str,
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    seconds: float = 10,
) -> Answer:
    """Send a request, and give the whole answer.

    Args:
        method: As `PUT`.
        url: Quoted as it is to be sent.
        body: All of it.
        headers: Besides Host and Content-Length.
        seconds: How long each step may take.

    Raises:
        OSError: There was no answer, or none that is HTTP.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = http.client.HTTPConnection(parts.netloc, timeout=seconds)
    try:
        connection.request(method, target, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read())
    except http.client.HTTPException as exc:
        raise OSError(f"{method} {url}: {exc!r}") from exc
    finally:
        connection.close()
