"""The URLs that answers carry."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from storagedriver_registry.api.descriptors import Route
from storagedriver_registry.api.request import Request
from storagedriver_registry.configuration.models import HttpSettings


class UrlBuilder:
    """Builds URLs as distribution does: absolute, unless `relativeurls` is set and `host` is not.

    Scheme and host are the configured `host`; else what a proxy says that the client asked; else
    what this server was asked. Of the path, `host` has all that stands before `/v2/`: what a proxy
    in front makes of `prefix` it alone knows.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._relative = settings.relativeurls and settings.host is None
        self._host = (settings.host or "").rstrip("/")
        self._prefix = settings.prefix.rstrip("/")

    def build(self, request: Request, route: Route, query: str = "", **parameters: object) -> str:
        """Give the URL of a resource."""
        base = request.base
        if self._relative:
            origin = ""
        else:
            origin = self.origin(request)
            if self._host:
                base = base.removesuffix(self._prefix)
        return origin + base + route.path(**parameters) + (f"?{query}" if query else "")

    def origin(self, request: Request) -> str:
        """Give scheme and host by which clients reach this server; empty if nobody knows."""
        if self._host:
            return self._host
        forwarded = request.header(b"forwarded")
        if forwarded:
            said = _forwarded(forwarded)
            scheme, host = said.get("proto"), said.get("host")
        else:
            scheme, host = (request.header(b"x-forwarded-" + name) for name in (b"proto", b"host"))
        host = host or request.header(b"host")
        if host is None:  # HTTP/1.0
            return ""
        # With several proxies in a row, the first is the one that the client asked.
        return f"{_first(scheme or request.scheme)}://{_first(host)}"


def next_page(
    request: Request, last: str, count: int | None, filters: Mapping[str, str] | None = None
) -> str:
    """Give the `Link` header that leads to the entries after `last`.

    Args:
        request: The request for this page.
        last: Its last entry.
        count: How many entries were wanted at most, if the client said so.
        filters: Parameters that choose among the entries.
    """
    size = {} if count is None else {"n": count}
    query = urlencode({**(filters or {}), "last": last, **size})
    return f'<{request.base}{request.path}?{query}>; rel="next"'


def _forwarded(header: str) -> dict[str, str]:
    """Give what the first proxy says. Source: RFC 7239, section 4."""
    pairs = (pair.partition("=") for pair in _first(header).split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _first(value: str) -> str:
    return value.partition(",")[0].strip()
