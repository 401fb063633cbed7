"""The controller `token`: whoever has a token may do what a token server has signed.

Source: distribution's documentation, "Token Authentication Implementation"; RFC 7519; RFC 6750,
section 3. Older token servers sign tokens with an id of libtrust, newer ones with one of RFC 7638.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import jwt

from storagedriver_registry.auth.access import Access, Grant
from storagedriver_registry.auth.contract import (
    AccessCheckError,
    AccessController,
    AuthRequest,
    ChallengeError,
)
from storagedriver_registry.auth.headers import credentials, quoted
from storagedriver_registry.auth.options import TokenOptions
from storagedriver_registry.auth.recent import Recent
from storagedriver_registry.auth.token_keys import (
    TrustedKeys,
    UntrustedKeyError,
    load_trusted_keys,
)

LEEWAY_SECONDS = 60
"""How far the clocks of token server and registry may be apart."""

_DEFAULT_REDIRECT_PATH = "/auth/token"

_REMEMBERED = 1000
_REMEMBERED_SECONDS = 60.0


class InvalidTokenError(Exception):
    """A token is not to be trusted; the text says why, for the log."""


class TokenController(AccessController):
    """Asks for a token of a token server."""

    def __init__(self, options: TokenOptions) -> None:
        self._options = options
        self._algorithms = frozenset(options.signingalgorithms)
        self._keys: TrustedKeys | None = None
        # Clients send one token with every request of a pull or push.
        self._recent: Recent[Grant] = Recent(_REMEMBERED, _REMEMBERED_SECONDS)

    async def open(self) -> None:
        """Read the keys.

        Raises:
            ConfigurationError: A file is missing or wrong.
        """
        options = self._options
        self._keys = await asyncio.to_thread(
            load_trusted_keys, options.rootcertbundle, options.jwks
        )

    async def authorize(self, request: AuthRequest, accesses: Sequence[Access]) -> Grant:
        """Verify the token, and look what is in it."""
        token = credentials(request, "bearer")
        if token is None:
            raise self._refusal(request, accesses, "", "no token")
        try:
            grant = self._grant(token)
        except InvalidTokenError as error:
            raise self._refusal(request, accesses, "invalid_token", str(error)) from error
        for access in accesses:
            if not grant.allows(access):
                reason = f"the token does not allow {access}"
                raise self._refusal(request, accesses, "insufficient_scope", reason)
        return grant

    def _grant(self, token: str) -> Grant:
        raw = token.encode("latin-1")
        key = self._recent.key(raw)
        grant = self._recent.get(key)
        if grant is None:
            grant, seconds = self._verified(raw)
            self._recent.put(key, grant, seconds)
        return grant

    def _verified(self, token: bytes) -> tuple[Grant, float]:
        """Give what a token allows, and for how many seconds it still holds.

        Raises:
            InvalidTokenError: It is not to be trusted.
        """
        if self._keys is None:
            raise AccessCheckError("the controller is not open")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            key = self._keys.find(header)
            if algorithm not in key.algorithms or algorithm not in (
                self._algorithms or key.algorithms
            ):
                raise InvalidTokenError(f"algorithm {str(algorithm)[:20]!r} is not taken here")
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._options.service,
                issuer=self._options.issuer,
                leeway=LEEWAY_SECONDS,
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
            seconds = float(claims["exp"]) + LEEWAY_SECONDS - time.time()
            return _grant_of(claims), seconds
        except UntrustedKeyError as error:
            raise InvalidTokenError(str(error)) from error
        # Anybody can send anything, and not every fault of it is foreseen by who reads JSON.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidTokenError(f"{type(error).__name__}: {error}") from error

    def _refusal(
        self, request: AuthRequest, accesses: Sequence[Access], error: str, reason: str
    ) -> ChallengeError:
        parts = [
            f"Bearer realm={quoted(self._realm(request))}",
            f"service={quoted(self._options.service)}",
        ]
        if accesses:
            parts.append(f"scope={quoted(_scope(accesses))}")
        if error:
            parts.append(f"error={quoted(error)}")
        return ChallengeError(",".join(parts), reason)

    def _realm(self, request: AuthRequest) -> str:
        options = self._options
        if not options.autoredirect:
            return options.realm
        forwarded = (request.header(b"x-forwarded-proto") or "https").partition(",")[0].strip()
        scheme = forwarded if forwarded in ("http", "https") else "https"
        # What a client says of itself is quoted, lest it end the header's value early.
        host = quote(request.header(b"host") or "", safe=":[]", encoding="latin-1")
        return f"{scheme}://{host}{options.autoredirectpath or _DEFAULT_REDIRECT_PATH}"


def _scope(accesses: Sequence[Access]) -> str:
    """Give a scope with all actions on a resource together."""
    actions: dict[tuple[str, str], list[str]] = {}
    for access in accesses:
        actions.setdefault((access.type, access.name), []).append(access.action)
    return " ".join(f"{kind}:{name}:{','.join(of)}" for (kind, name), of in actions.items())


def _grant_of(claims: Mapping[str, Any]) -> Grant:
    """Give what the claims allow.

    Raises:
        InvalidTokenError: They are malformed.
    """
    allowed: dict[tuple[str, str], frozenset[str]] = {}
    try:
        for entry in claims.get("access") or ():
            resource = (str(entry["type"]), str(entry["name"]))
            actions = entry.get("actions") or ()
            if isinstance(actions, str):
                raise InvalidTokenError("the actions of an access are no list")
            allowed[resource] = allowed.get(resource, frozenset()) | frozenset(map(str, actions))
    except (TypeError, KeyError, AttributeError) as error:
        raise InvalidTokenError("the claim access is malformed") from error
    subject = claims.get("sub")
    return Grant(subject if isinstance(subject, str) else "", allowed)
