"""Hosts, origins, and the proxies on the way to them."""

from __future__ import annotations

import ipaddress
import re
import urllib.request

from yarl import URL

from storagedriver_registry.client.errors import InvalidReferenceError

DOCKER_HUB = "docker.io"
"""What references call it."""

_SERVED_AT = {DOCKER_HUB: "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


_HOST = re.compile(r"(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?::[0-9]+)?")


def is_host(text: str) -> bool:
    """Tell whether a text is a host, with or without a port."""
    return _HOST.fullmatch(text) is not None


def base_url(host: str, scheme: str) -> URL:
    """Give the URL at which a registry is.

    Args:
        host: Host and port, as in references.
        scheme: `http` or `https`.

    Raises:
        InvalidReferenceError: It is no host.
    """
    if not host.isprintable() or " " in host:
        raise InvalidReferenceError(f"{host!r} is no host")
    try:
        url = URL(f"{scheme}://{_SERVED_AT.get(host, host)}/")
    except ValueError:
        raise InvalidReferenceError(f"{host!r} is no host") from None
    if not url.host or url.path != "/" or url.user is not None or url.query_string or url.fragment:
        raise InvalidReferenceError(f"{host!r} is no host")
    return url


def given_url(url: URL) -> URL:
    """Give a URL that a registry gave without credentials in it, which are nobody's that we know.

    Raises:
        ValueError: There can be no such place.
    """
    # These are not looked at until they are needed, nor is the name that is to be looked up.
    _ = url.host, url.port
    (url.raw_host or "").encode("idna")
    return url.with_user(None) if url.raw_user is not None else url


def is_same_origin(one: URL, other: URL) -> bool:
    """Tell whether two URLs lead to the same port of the same host, by the same scheme."""
    # yarl's own origins differ where one names the port that the scheme has anyway.
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def is_local(url: URL) -> bool:
    """Tell whether a URL leads to this machine's loopback."""
    host = (url.host or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: URL) -> URL | None:
    """Give the proxy that the environment names for a URL; None if it is asked directly.

    The variables are `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`. The loopback is never
    asked through one, as with Docker.
    """
    if is_local(url):
        return None
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(url.authority):
        return None
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return URL(proxy) if proxy else None
