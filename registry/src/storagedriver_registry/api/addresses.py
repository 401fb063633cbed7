"""Who asks. Source: distribution's `internal/requestutil`, `RemoteAddr` and `RemoteIP`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any


def remote_address(scope: Mapping[str, Any]) -> str:
    """Give who asks: what the nearest proxies say, or else the address at the connection's end."""
    said = _said(scope)
    client = scope.get("client")
    if said or not client:
        return said
    host = _host(client)
    if not client[1]:
        return host  # a Unix socket
    return f"[{host}]:{client[1]}" if ":" in host else f"{host}:{client[1]}"


def remote_host(scope: Mapping[str, Any]) -> str:
    """Give the same without a port; empty where it is no IP address."""
    said = _said(scope)
    client = scope.get("client")
    if said or not client:
        return said
    host = _host(client)
    return host if _is_ip(host) else ""


def _said(scope: Mapping[str, Any]) -> str:
    for wanted in (b"x-forwarded-for", b"x-real-ip"):
        for name, value in scope["headers"]:
            if name == wanted:
                address: str = value.decode("latin-1").partition(",")[0].strip()
                if address and _is_ip(address):
                    return address
                break
    return ""


def _host(client: tuple[str, int]) -> str:
    # An IPv4 client at a socket of both kinds.
    return str(client[0]).removeprefix("::ffff:")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
