"""Credentials and challenges in headers. Source: RFC 7617; RFC 9110, section 11."""

from __future__ import annotations

import base64
import binascii

from storagedriver_registry.auth.contract import AuthRequest


def quoted(text: str) -> str:
    """Give a quoted string for a header. `text` is printable ASCII."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def basic_challenge(realm: str) -> str:
    """Give the challenge that asks for a user's name and password."""
    return f"Basic realm={quoted(realm)}"


def credentials(request: AuthRequest, scheme: str) -> str | None:
    """Give what follows the scheme in the header `Authorization`; None if it has another."""
    given, _, rest = (request.header(b"authorization") or "").partition(" ")
    return rest.strip() if given.lower() == scheme and rest.strip() else None


def basic_credentials(request: AuthRequest) -> tuple[bytes, bytes] | None:
    """Give user and password, of whatever bytes; None if there are none, or they are malformed."""
    encoded = credentials(request, "basic")
    if encoded is None:
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
