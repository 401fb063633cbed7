"""Answering challenges: passwords, and tokens that are fetched and renewed in time.

Source: docker/distribution, "Token Authentication Specification" and "Token Authentication
Specification: OAuth2".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from yarl import URL

from storagedriver_registry.client.addresses import given_url, is_local
from storagedriver_registry.client.challenges import Challenge
from storagedriver_registry.client.credentials import Credentials, CredentialSource
from storagedriver_registry.client.errors import (
    CredentialsError,
    DeniedError,
    InvalidAnswerError,
    RegistryError,
    UnauthorizedError,
)
from storagedriver_registry.client.retrying import Clock

_DEFAULT_LIFETIME = 60.0
"""Seconds, where a token server does not say. Source: the specification, "expires_in"."""

_MOST_LIFETIME = 1e9
"""Seconds: whatever a token server says, it is a number that one can go on with."""

_MOST_MARGIN = 30.0
"""Seconds before its end at which a token is renewed; a tenth of its life if that is less."""

_MOST_KEPT = 1000
"""Tokens, which are one for each repository as a rule; beyond them what was not used goes first."""

_CLIENT_ID = "storagedriver"

V = TypeVar("V")

Fetch = Callable[[str, URL, Mapping[str, str], bytes | None], Awaitable[bytes]]
"""Does one request and gives the body of a good answer: method, URL, headers, body."""


def repository_scope(name: str, *actions: str) -> str:
    """Give the scope of actions on a repository: `pull`, `push`, `delete`."""
    return f"repository:{name}:{','.join(actions)}"


CATALOG_SCOPE = "registry:catalog:*"


def joined(scopes: Iterable[str]) -> frozenset[str]:
    """Give scopes with one for each resource, which has the actions of all, in order."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, colon, listed = scope.rpartition(":")
        actions.setdefault(resource if colon else scope, set()).update(listed.split(","))
    return frozenset(f"{key}:{','.join(sorted(those))}" for key, those in actions.items())


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    value: str
    renewed_at: float


class Authenticator:
    """Gives what a registry wants in `Authorization`, and learns it from its challenges.

    Args:
        host: The registry, as references name it.
        credentials: Who the client is, or where that is kept; None for anonymous.
        fetch: Does requests to token servers.
        clock: The time.

    Attributes:
        is_plain: Whether the registry itself is asked without encryption, as the user has chosen.
    """

    def __init__(
        self,
        host: str,
        credentials: Credentials | CredentialSource | None,
        fetch: Fetch,
        clock: Clock,
    ) -> None:
        self.is_plain = False
        self._host = host
        self._given = credentials
        self._fetch = fetch
        self._clock = clock
        self._found: Credentials | None = None
        self._looked = False
        self._identity_token = ""
        self._challenge: Challenge | None = None
        self._wanted: dict[frozenset[str], frozenset[str]] = {}
        self._tokens: dict[frozenset[str], _Token] = {}
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Authenticator of {self._host}>"

    async def authorization(self, scopes: frozenset[str]) -> str | None:
        """Give the value of the header for a request; None as long as nothing was asked for.

        Args:
            scopes: What the request needs to be allowed.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        credentials = await self._credentials()
        if challenge.scheme == "basic":
            return None if credentials is None else credentials.basic()
        return f"Bearer {await self._token(challenge, scopes)}"

    async def learn(
        self, challenges: Sequence[Challenge], scopes: frozenset[str], refused: str | None
    ) -> bool:
        """Take what a registry has asked for; tell whether another try may do.

        Args:
            challenges: Those of the answer.
            scopes: What the request needs to be allowed.
            refused: The header that the request had.
        """
        credentials = await self._credentials()
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                before = self._wanted.get(scopes, joined(scopes))
                wanted = joined(before | challenge.scopes)
                _keep(self._wanted, scopes, wanted)
                self._challenge = challenge
                # Another request may have renewed it meanwhile.
                token = self._tokens.get(wanted)
                if token is not None and f"Bearer {token.value}" == refused:
                    del self._tokens[wanted]
                return credentials is None or f"Bearer {credentials.registry_token}" != refused
        for challenge in challenges:
            if challenge.scheme == "basic" and credentials is not None and credentials.has_password:
                self._challenge = challenge
                return credentials.basic() != refused
        return False

    def blame(self, error: RegistryError, *, was_sent: bool) -> None:
        """Say of a 401 or 403 whether there were credentials, once they have been asked for.

        Args:
            error: The error.
            was_sent: Whether the request had what they give.
        """
        if not self._looked or not isinstance(error, UnauthorizedError | DeniedError):
            return
        if self._found in (None, Credentials()):
            error.login = self._host
        elif was_sent:
            error.message += f" (the credentials for {self._host} were refused, or do not allow it)"

    async def _credentials(self) -> Credentials | None:
        if not self._looked:
            given = self._given
            if given is None or isinstance(given, Credentials):
                self._found = given
            else:
                self._found = await asyncio.to_thread(given.credentials, self._host)
            self._looked = True
        return self._found

    async def _token(self, challenge: Challenge, scopes: frozenset[str]) -> str:
        credentials = await self._credentials()
        if credentials is not None and credentials.registry_token:
            return credentials.registry_token
        wanted = self._wanted.get(scopes)
        if wanted is None:
            wanted = joined(scopes)
        else:
            _keep(self._wanted, scopes, wanted)
        # One at a time: many requests begin at once, and want the same token.
        async with self._lock:
            token = self._tokens.get(wanted)
            if token is None or self._clock.monotonic() >= token.renewed_at:
                token = await self._fetched(challenge, wanted, credentials)
                now = self._clock.monotonic()
                for key in [key for key, one in self._tokens.items() if now >= one.renewed_at]:
                    del self._tokens[key]
            _keep(self._tokens, wanted, token)
            return token.value

    async def _fetched(
        self, challenge: Challenge, scopes: frozenset[str], credentials: Credentials | None
    ) -> _Token:
        realm = self._realm(challenge, is_secret=credentials is not None)
        service = challenge.parameters.get("service", "")
        asked_at = self._clock.monotonic()
        identity = self._identity_token or (credentials.identity_token if credentials else "")
        if identity:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": _CLIENT_ID,
                "scope": " ".join(sorted(scopes)),
                "refresh_token": identity,
            }
            body = URL.build(query=form).raw_query_string.encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = _document(await self._fetch("POST", realm, headers, body), self._host)
            renewed = answer.get("refresh_token")
            self._identity_token = renewed if renewed and isinstance(renewed, str) else identity
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in sorted(scopes)]
            headers = {}
            if credentials is not None and credentials.has_password:
                query.append(("account", credentials.username))
                headers["Authorization"] = credentials.basic()
            url = realm.extend_query(query)
            answer = _document(await self._fetch("GET", url, headers, None), self._host)
        value = answer.get("token") or answer.get("access_token")
        if not isinstance(value, str) or not value.isprintable():
            raise InvalidAnswerError("the token server gave no token", host=self._host)
        lifetime = _lifetime(answer.get("expires_in"))
        margin = min(_MOST_MARGIN, lifetime / 10)
        return _Token(value, asked_at + lifetime - margin)

    def _realm(self, challenge: Challenge, *, is_secret: bool) -> URL:
        try:
            realm = given_url(URL(challenge.parameters["realm"]))
        except ValueError:
            realm = URL()
        if realm.scheme not in ("http", "https") or not realm.host:
            raise InvalidAnswerError("its token server is at no URL", host=self._host)
        if is_secret and realm.scheme == "http" and not is_local(realm) and not self.is_plain:
            raise CredentialsError(
                "its token server is asked without encryption; the credentials stay here",
                host=self._host,
            )
        return realm


def _keep(kept: dict[frozenset[str], V], key: frozenset[str], value: V) -> None:
    """Keep what is used now; beyond so many, what was not used for longest goes."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]


def _document(data: bytes, host: str) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidAnswerError("the answer of its token server is no JSON object", host=host)
    return document


def _lifetime(expires_in: object) -> float:
    if isinstance(expires_in, int | float) and expires_in > 0:
        return float(min(expires_in, _MOST_LIFETIME))
    return _DEFAULT_LIFETIME
