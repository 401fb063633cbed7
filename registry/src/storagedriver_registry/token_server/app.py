"""Docker's token protocol, as an ASGI application.

Source: distribution's documentation, "Token Authentication Specification" (GET) and "OAuth2 Token
Authentication" (POST).
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import jwt

from storagedriver_registry.api.codes import UNAUTHORIZED
from storagedriver_registry.api.descriptors import ErrorCode
from storagedriver_registry.api.errors import ApiError, to_api_error
from storagedriver_registry.api.request import Receive, Request, Scope, Send
from storagedriver_registry.api.response import Response, error_response, json_response
from storagedriver_registry.auth.headers import basic_challenge, basic_credentials
from storagedriver_registry.auth.htpasswd_file import HtpasswdFile
from storagedriver_registry.token_server import policy as policies
from storagedriver_registry.token_server.policy import Policy
from storagedriver_registry.token_server.settings import TokenServerSettings
from storagedriver_registry.token_server.signing import Signer

logger = logging.getLogger(__name__)

TOKEN_PATH = "/token"
"""Where clients ask, as the registry's `auth.token.realm` has it."""

# The second is where clients go that a registry with `autoredirect` sends to its own host.
_PATHS = (TOKEN_PATH, "/auth/token")
_MOST_FORM_BYTES = 64 * 1024
_NO_STORE = {"cache-control": "no-store"}

_INVALID = ErrorCode("UNKNOWN", 400, "invalid request")
_NOT_FOUND = ErrorCode("UNSUPPORTED", 404, "there are tokens at /token only")
_NOT_ALLOWED = ErrorCode("UNSUPPORTED", 405, "GET and POST only")


class _GrantError(Exception):
    """A POST is refused. Source: RFC 6749, section 5.2.

    Attributes:
        code: What is wrong, as `invalid_grant`.
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


class TokenServer:
    """Gives tokens to whoever has a password, for what the policy allows them.

    Args:
        settings: The configuration.
        users: Checks passwords.
        policy: Who may do what.
        signer: Signs.
    """

    def __init__(
        self, settings: TokenServerSettings, users: HtpasswdFile, policy: Policy, signer: Signer
    ) -> None:
        self._settings = settings
        self._users = users
        self._policy = policy
        self._signer = signer
        # No registry takes a token for this: it is of no service.
        self._refresh_audience = f"refresh:{settings.service}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or follow the server as it starts and stops."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive, scope["path"], "")
            response = await self._answer(request)
            await response.send(request, send, [])
            logger.info(
                "method=%s path=%s status=%d", request.method, request.path, response.status
            )
        else:
            raise NotImplementedError(f"a token server does not speak {scope['type']}")

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                self._users.aclose()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def _answer(self, request: Request) -> Response:
        try:
            if request.path not in _PATHS:
                raise ApiError(_NOT_FOUND)
            if request.method == "GET":
                return await self._get(request)
            if request.method == "POST":
                return await self._post(request)
            raise ApiError(_NOT_ALLOWED, headers={"allow": "GET, POST"})
        except _GrantError as error:
            refusal = {"error": error.code, "error_description": str(error)}
            return json_response(refusal, _NO_STORE, status=400)
        except policies.ScopeError as error:
            return error_response(ApiError(_INVALID, message=str(error)))
        except Exception as error:
            return error_response(to_api_error(error))

    # The two ways to ask ----------------------------------------------------------------------

    async def _get(self, request: Request) -> Response:
        """Give a token to who sends a password, or to anybody if anybody may pull."""
        user = await self._who(request)
        account = request.query.get("account")
        if user is not None and account not in (None, "", user):
            raise self._asking("another account than the user's")
        self._check_service(request.query.get("service"))
        scopes = policies.parse_scopes(request.query_values("scope"))
        answer = self._token(user, scopes)
        answer["token"] = answer["access_token"]
        del answer["scope"]
        if user is not None and request.query.get("offline_token") == "true":
            answer["refresh_token"] = self._refresh_token(user)
        return json_response(answer, _NO_STORE)

    async def _post(self, request: Request) -> Response:
        """Give a token for a password, or for a token that was given for this."""
        body = (await request.body(_MOST_FORM_BYTES)).decode("latin-1")
        form = {key: values[-1] for key, values in parse_qs(body).items()}
        self._check_service(form.get("service"))
        refresh_token = None
        match form.get("grant_type"):
            case "password":
                user = await self._of_password(form)
                if form.get("access_type") == "offline":
                    refresh_token = self._refresh_token(user)
            case "refresh_token":
                refresh_token = form.get("refresh_token", "")
                user = self._of_refresh_token(refresh_token)
            case _:
                raise _GrantError("unsupported_grant_type", "password and refresh_token only")
        answer = self._token(user, policies.parse_scopes([form.get("scope", "")]))
        if refresh_token is not None:
            answer["refresh_token"] = refresh_token
        return json_response(answer, _NO_STORE)

    # Who asks ---------------------------------------------------------------------------------

    async def _who(self, request: Request) -> str | None:
        given = basic_credentials(request)
        if given is None:
            if request.header(b"authorization") or not self._policy.anonymous_pull:
                raise self._asking("no user and password")
            return None
        if not await self._users.check(*given):
            raise self._asking("wrong password, or no such user")
        return _name(given[0])

    async def _of_password(self, form: Mapping[str, str]) -> str:
        user, password = form.get("username", ""), form.get("password", "")
        if not user or not await self._users.check(user.encode(), password.encode()):
            raise _GrantError("invalid_grant", "wrong password, or no such user")
        return user

    def _of_refresh_token(self, token: str) -> str:
        """Give the user whom a token was given to, if the password is still the same."""
        try:
            claims = self._signer.verify(
                token, issuer=self._settings.issuer, audience=self._refresh_audience
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise _GrantError("invalid_grant", "the token does not hold") from error
        user: str = claims["sub"]
        mark = self._password_mark(user)
        if mark is None or claims.get("mark") != mark:
            raise _GrantError("invalid_grant", "the user is gone, or has another password")
        return user

    def _password_mark(self, user: str) -> str | None:
        """Give what tells a user's password from the former ones, and nothing of it."""
        hashed = self._users.fingerprint(user.encode())
        if hashed is None:
            return None
        return hashlib.sha256(b"password mark\n" + hashed).hexdigest()[:32]

    def _asking(self, reason: str) -> ApiError:
        logger.info("not authenticated: %s", reason)
        challenge = basic_challenge(self._settings.realm)
        return ApiError(UNAUTHORIZED, headers={"www-authenticate": challenge})

    def _check_service(self, service: str | None) -> None:
        if service not in (None, "", self._settings.service):
            raise ApiError(_INVALID, message="there are no tokens for this service here")

    # What is given ----------------------------------------------------------------------------

    def _token(self, user: str | None, scopes: Sequence[policies.Scope]) -> dict[str, Any]:
        allowed = [(scope, self._policy.allowed(user, scope)) for scope in scopes]
        now, lifetime = int(time.time()), self._settings.lifetime
        claims = {
            **self._claims(user or "", self._settings.service, now, lifetime),
            "access": [scope.claim(actions) for scope, actions in allowed if actions],
        }
        issued = datetime.datetime.fromtimestamp(now, datetime.UTC)
        return {
            "access_token": self._signer.sign(claims),
            "scope": " ".join(scope.text(actions) for scope, actions in allowed if actions),
            "expires_in": lifetime,
            "issued_at": issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _refresh_token(self, user: str) -> str:
        now = int(time.time())
        lifetime = self._settings.refresh_lifetime
        claims = self._claims(user, self._refresh_audience, now, lifetime)
        return self._signer.sign({**claims, "mark": self._password_mark(user)})

    def _claims(self, user: str, audience: str, now: int, lifetime: int) -> dict[str, Any]:
        return {
            "iss": self._settings.issuer,
            "sub": user,
            "aud": audience,
            "exp": now + lifetime,
            "nbf": now,
            "iat": now,
            "jti": secrets.token_urlsafe(16),
        }


def _name(user: bytes) -> str:
    try:
        return user.decode()
    except UnicodeDecodeError:
        raise ApiError(_INVALID, message="the user's name is not UTF-8") from None
