"""The files that pages name: the same for everybody, and nobody has to log in for them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from storagedriver_registry.api.request import Request
from storagedriver_registry.api.response import Response

TYPES = {
    "style.css": "text/css; charset=utf-8",
    "copy.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

_FOLDER = Path(__file__).with_name("static")
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file.

    Attributes:
        data: Its bytes.
        version: What tells it from other versions.
    """

    data: bytes
    version: str


@cache
def load_asset(name: str) -> Asset:
    """Read one of `TYPES`."""
    data = (_FOLDER / name).read_bytes()
    return Asset(data, hashlib.sha256(data).hexdigest()[:16])


def answer_asset(request: Request, name: str) -> Response:
    """Send one of `TYPES`; nothing, if the client has it."""
    asset = load_asset(name)
    is_named = request.query.get("v") == asset.version
    headers = {
        "content-type": TYPES[name],
        "etag": f'"{asset.version}"',
        "cache-control": _FOR_EVER if is_named else _ASK_AGAIN,
        "x-content-type-options": "nosniff",
        # Opened by itself, the icon is a document.
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    if headers["etag"] in (request.header(b"if-none-match") or ""):
        return Response(304, headers)
    return Response(200, headers, asset.data)
