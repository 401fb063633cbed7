"""V4 signed URLs, verified.

Sources: access-control/signed-urls, "Credentials and signed URLs" and "Required query parameters";
authentication/canonical-requests; authentication/signatures. The signature is RSA-SHA256 by a
service account's key over the hash of the canonical request: method, path, query without the
signature, signed headers, their names, and `UNSIGNED-PAYLOAD`. `host` has to be signed. A URL lasts
at most seven days; a client's clock may be up to 15 minutes ahead. Every signed header must come
with the value that was signed, so a content type that was signed is enforced.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from aiohttp import web
from cryptography.exceptions import InvalidSignature

from ._auth import Accounts
from ._errors import ApiError

MOST_SECONDS = 7 * 24 * 3600
SKEW_SECONDS = 15 * 60
_ALGORITHM = "GOOG4-RSA-SHA256"


def verify(request: web.Request, path: str, query: str, accounts: Accounts, now: float) -> None:
    """Raise unless the request is what an account has signed, and in time."""
    pairs = parse_qsl(query, keep_blank_values=True)
    values = {name.lower(): value for name, value in pairs}
    try:
        signature = bytes.fromhex(values["x-goog-signature"])
        email, _, scope = values["x-goog-credential"].partition("/")
        date = values["x-goog-date"]
        expires = int(values["x-goog-expires"])
        names = values["x-goog-signedheaders"].split(";")
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except (KeyError, ValueError):
        raise ApiError(
            400, "AuthenticationRequired: a query parameter is missing or wrong"
        ) from None
    if values.get("x-goog-algorithm") != _ALGORITHM or not 0 < expires <= MOST_SECONDS:
        raise ApiError(400, "InvalidArgument: X-Goog-Algorithm or X-Goog-Expires")
    if not signed_at - SKEW_SECONDS <= now:
        raise ApiError(403, "AccessDenied: Request is not valid yet")
    if now > signed_at + expires:
        raise ApiError(400, "ExpiredToken: The provided token has expired.")
    if "host" not in names:
        raise ApiError(400, "InvalidArgument: host must be signed")
    # Source: signed URLs, "Signed headers": x-goog- headers of the request have to be signed.
    for name in request.headers:
        if name.lower().startswith("x-goog-") and name.lower() not in names:
            raise ApiError(403, f"SignatureDoesNotMatch: {name} is not signed")
    lines = [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names]
    rest = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in pairs
        if name.lower() != "x-goog-signature"
    )
    canonical = "\n".join(
        [
            request.method,
            path,
            "&".join(f"{name}={value}" for name, value in rest),
            *lines,
            "",
            ";".join(names),
            request.headers.get("X-Goog-Content-SHA256", "UNSIGNED-PAYLOAD"),
        ]
    )
    text = "\n".join([_ALGORITHM, date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    try:
        accounts.verify(email, text.encode(), signature)
    except (KeyError, InvalidSignature):
        raise ApiError(403, "SignatureDoesNotMatch: Access denied.") from None
