"""Who may call: bearer tokens, and how a service account gets one.

Sources: authentication ("Authorization: Bearer" with an OAuth 2.0 access token; missing: 401
`required`; wrong or expired: 401 `authError`, "Invalid Credentials");
developers.google.com/identity/protocols/oauth2/service-account, "Making the access token request"
(a JWT signed RS256 by the account's key, `aud` the token endpoint, at most an hour long).

The fake makes two accounts, and writes a key file for each, so that clients sign and authenticate
as they do with Google.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ._errors import ApiError
from ._store import Clock

TOKEN_SECONDS = 3600
ACCOUNTS = ("writer", "rotated")
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Accounts:
    """Service accounts, their keys, and the tokens that were given out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys = {
            f"{name}@strict-gcs-fake.iam.gserviceaccount.com": rsa.generate_private_key(
                public_exponent=65537, key_size=2048
            )
            for name in ACCOUNTS
        }
        self._tokens: dict[str, tuple[str, float]] = {}
        self.granted = 0

    def write_keys(self, directory: Path, url: str) -> None:
        """Write `<name>.json` for each account, and one that the server does not know."""
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for email, key in [*self._keys.items(), ("stranger@example.iam", stranger)]:
            pem = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            document = {
                "type": "service_account",
                "project_id": "strict-gcs-fake",
                "private_key_id": "1",
                "private_key": pem.decode(),
                "client_email": email,
                "client_id": "1",
                "auth_uri": f"{url}/auth",
                "token_uri": f"{url}/token",
            }
            path = directory / f"{email.partition('@')[0]}.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps(document))

    def grant(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """Exchange a signed assertion for an access token."""
        if form.get("grant_type") != _GRANT:
            raise ApiError(400, "unsupported_grant_type")
        try:
            signed, _, signature = str(form.get("assertion")).rpartition(".")
            claims = json.loads(_decode(signed.split(".")[1]))
            self.verify(claims["iss"], signed.encode(), _decode(signature))
            lifetime = claims["exp"] - claims["iat"]
        except (KeyError, IndexError, ValueError, InvalidSignature):
            raise ApiError(400, "invalid_grant: Invalid JWT Signature.") from None
        if not 0 < lifetime <= TOKEN_SECONDS or claims["exp"] < self._clock.seconds():
            raise ApiError(400, "invalid_grant: Invalid JWT: Token must be a short-lived token")
        self.granted += 1
        token = f"ya29.fake-{secrets.token_urlsafe(24)}"
        self._tokens[token] = (claims["iss"], self._clock.seconds() + TOKEN_SECONDS)
        return {"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"}

    def verify(self, email: str, message: bytes, signature: bytes) -> None:
        """Check a signature by an account's key.

        Raises:
            KeyError: There is no such account.
            InvalidSignature: It is not by its key.
        """
        public = self._keys[email].public_key()
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())

    def require(self, header: str | None) -> str:
        """Give the account that a request is of."""
        if not header:
            raise ApiError(401, "Anonymous caller does not have access. Login Required", "required")
        kind, _, token = header.partition(" ")
        email, expires = self._tokens.get(token, ("", 0.0))
        if kind != "Bearer" or expires <= self._clock.seconds():
            raise ApiError(401, "Invalid Credentials", "authError")
        return email

    def forget_tokens(self) -> None:
        """Let every token expire at once."""
        self._tokens.clear()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
