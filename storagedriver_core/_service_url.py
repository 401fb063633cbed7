"""URLs of services, as configurations hold them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# Nothing in an authority or a path of a service stands for these: they are slips of the pen.
_STRAY = re.compile(r"[\s\x00-\x1f\x7f\\\"<>^`{|}]")


def check_service_url(url: str) -> str:
    """Give the URL of a service back if it can be one: scheme, host, and perhaps port and path.

    It shows in messages and by `storagedriver config show`, so no secret may stand in it: neither
    a user and password nor a query, which could be a signature.

    Raises:
        ValueError: It is none; the message does not repeat it.
    """
    if _STRAY.search(url):
        raise ValueError("a character that no URL holds")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the host or the port is not well formed") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("a URL begins with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("neither user nor password can stand in it: they have keys of their own")
    if not parts.hostname or port == 0:
        raise ValueError("a host is needed, as in https://storage.example:8443")
    if "?" in url or "#" in url:
        raise ValueError("neither a query nor a fragment can stand in it")
    return url
