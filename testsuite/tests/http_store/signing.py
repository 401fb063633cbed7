"""Signatures, as server and driver make them: an HMAC over what must not change."""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import parse_qsl, quote, urlencode

KEYS = {"main": b"main-secret-7f3a", "second": b"second-secret-91bc"}


def signature(secret: bytes, *fields: str) -> str:
    return hmac.new(secret, "\n".join(fields).encode(), hashlib.sha256).hexdigest()


def authorization(key: str, secret: bytes, method: str, target: str) -> str:
    return f"HMAC {key}:{signature(secret, method, target)}"


def is_authorized(header: str, method: str, target: str) -> bool:
    kind, _, rest = header.partition(" ")
    key, _, given = rest.partition(":")
    secret = KEYS.get(key)
    if kind != "HMAC" or secret is None:
        return False
    return hmac.compare_digest(signature(secret, method, target), given)


def signed_query(
    key: str, secret: bytes, method: str, host: str, path: str, seconds: float, content_type: str
) -> str:
    until = f"{time.clock_gettime(time.CLOCK_REALTIME) + seconds:.3f}"
    given = signature(secret, method, host, path, until, content_type)
    return urlencode({"key": key, "until": until, "type": content_type, "signature": given})


def why_not_signed(query: str, method: str, host: str, path: str, content_type: str) -> str:
    """Give what is wrong with a signed URL; empty if it is right."""
    values = dict(parse_qsl(query, keep_blank_values=True))
    secret = KEYS.get(values.get("key", ""))
    if secret is None:
        return "unknown key"
    until, wanted = values.get("until", ""), values.get("type", "")
    given = values.get("signature", "")
    # A signature may be good for every method; whoever makes such a one gives much away.
    for signed in (method, "*"):
        expected = signature(secret, signed, host, path, until, wanted)
        if hmac.compare_digest(expected, given):
            break
    else:
        return "wrong signature"
    if float(until) < time.time():
        return "expired"
    return "another content type" if wanted and wanted != content_type else ""


def target_of(bucket: str, path: str, query: str = "") -> str:
    """Give what a request line names; `path` is an object's, or empty for the bucket."""
    # Every octet that is not plain is escaped, so that both sides sign the same text.
    target = quote(f"/{bucket}{path}", safe="/-._~")
    return f"{target}?{query}" if query else target
