"""Requests to one registry: authenticated, redirected, repeated where that is safe."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
from yarl import URL

from storagedriver_registry.client.addresses import given_url
from storagedriver_registry.client.answers import Answer, beginning, response_error
from storagedriver_registry.client.challenges import parse_challenges
from storagedriver_registry.client.connections import (
    TIMEOUT,
    Connections,
    Content,
    NothingSentError,
)
from storagedriver_registry.client.credentials import Credentials, CredentialSource
from storagedriver_registry.client.errors import (
    InvalidAnswerError,
    NotFoundError,
    RedirectRefusedError,
    RegistryError,
    TooManyRequestsError,
)
from storagedriver_registry.client.retrying import Retries, Tries
from storagedriver_registry.client.tls import TLSOptions
from storagedriver_registry.client.tokens import Authenticator

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_MOST_LOGINS = 2
"""Challenges answered for one request: a token may have run out, and then want another scope."""

_MOST_OF_A_TOKEN = 1 << 20
_REST_SECONDS = 60.0

T = TypeVar("T")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: Its method.
        target: A path below the registry's root with a query, or a URL that the registry gave.
        scopes: What it needs to be allowed.
        headers: Its own headers.
        body: What is sent.
        wanted: Statuses of a good answer.
        repeat: Whether it may be sent again when it is not known what became of it.
        patience: How many times as long as usual nothing may come.
        tries: Its tries, if it shares them with others; None for its own.
    """

    method: str
    target: str | URL
    scopes: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Content | None = None
    wanted: frozenset[int] = frozenset({200})
    repeat: bool = True
    patience: float = 1.0
    tries: Tries | None = None


class Transport:
    """The connections to one registry.

    Args:
        host: Host and port, as in references.
        credentials: Who the client is, or where that is kept; None for anonymous.
        plain_http: True for http, False for https; None for https, but on the loopback what the
            registry there speaks.
        tls: Certificates.
        retries: What is tried again.
        connections: Most connections at once.
        insecure: Whether it may speak http wherever it is, or have a certificate that nobody
            trusts.
        timeout: Seconds after which a connection that gives or takes nothing has failed.
        prefix: What stands before `v2/` in the paths of the host, as in a URL.
    """

    def __init__(
        self,
        host: str,
        *,
        credentials: Credentials | CredentialSource | None,
        plain_http: bool | None,
        tls: TLSOptions,
        retries: Retries,
        connections: int,
        insecure: bool = False,
        timeout: float = TIMEOUT,
        prefix: str = "/",
    ) -> None:
        self.host = host
        self.retries = retries
        self._prefix = prefix.rstrip("/")
        self._connections = Connections(
            host,
            plain_http=plain_http,
            tls=tls,
            most=connections,
            insecure=insecure,
            timeout=timeout,
        )
        self._failure: RegistryError | None = None
        self._rests_until = 0.0
        self._authenticator = Authenticator(host, credentials, self._fetch, retries.clock)

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self._connections.aclose()

    def rest(self, error: RegistryError) -> None:
        """Note that it could not be reached: for a while, those are asked that have the same."""
        self._failure = error
        self._rests_until = self.retries.clock.monotonic() + _REST_SECONDS

    def resting(self) -> RegistryError | None:
        """Give why it is to be left alone; None if it is not."""
        is_over = self.retries.clock.monotonic() >= self._rests_until
        return None if is_over else self._failure

    async def url(self, target: str | URL) -> URL:
        """Give the whole URL of a target."""
        base = await self._connections.base()
        self._authenticator.is_plain = base.scheme == "http"
        url = URL(target, encoded=True)
        if self._prefix and not url.absolute:
            url = URL(f"{self._prefix}{url}", encoded=True)
        return base.join(url)

    async def open(self, request: Request) -> Answer:
        """Do a request, and give its answer, whose body is to be read and let go of.

        Raises:
            ResponseError: The registry answers with an error, after all the tries.
            ConnectionFailedError: It cannot be reached, or the connection broke.
            RedirectRefusedError: It redirects to where it is not safe to go.
            CredentialsError: Credentials cannot be read, or not be sent safely.
        """
        url = await self.url(request.target)
        return await self._tried(lambda: self._authenticated(request, url), request)

    async def read(self, request: Request, most: int) -> tuple[Answer, bytes]:
        """Do a request, and give its answer with the whole body.

        Args:
            request: The request.
            most: Bytes that the body may have.
        """

        async def attempt() -> tuple[Answer, bytes]:
            async with await self._authenticated(request, url) as answer:
                return answer, await answer.read(most)

        url = await self.url(request.target)
        return await self._tried(attempt, request)

    async def delete(self, request: Request) -> None:
        """Do a request that deletes. What is gone when it is repeated is deleted.

        Raises:
            NotFoundError: It was not there at first.
        """
        is_unsure = False

        async def attempt() -> None:
            nonlocal is_unsure
            try:
                async with await self._authenticated(request, url):
                    pass
            except NotFoundError:
                if not is_unsure:
                    raise
            except TooManyRequestsError:
                raise
            except RegistryError:
                # The registry may have done it, although its answer did not come.
                is_unsure = True
                raise

        url = await self.url(request.target)
        await self._tried(attempt, request)

    # Tries -------------------------------------------------------------------------------------

    async def _tried(self, attempt: Callable[[], Awaitable[T]], request: Request) -> T:
        tries = request.tries or Tries(self.retries)
        while True:
            try:
                return await attempt()
            except NothingSentError as failure:
                error, is_safe = failure.error, True
            except RegistryError as failure:
                # Who says 429 has done nothing.
                error = failure
                is_safe = request.repeat or isinstance(failure, TooManyRequestsError)
            delay = tries.delay(error) if is_safe else None
            if delay is None:
                raise error
            _logger.info("%s is repeated in %.1f s: %s", request.method, delay, error)
            await self.retries.clock.sleep(delay)

    async def _authenticated(self, request: Request, url: URL) -> Answer:
        """Do a request once, but for challenges, which are answered."""
        for challenged in range(_MOST_LOGINS + 1):
            authorization = await self._authenticator.authorization(request.scopes)
            response = await self._redirected(request, url, authorization)
            host = self._connections.host_of(response.url)
            if response.status in request.wanted:
                return Answer(response, host, self._connections.timeout)
            if response.status < 400:
                response.close()
                raise InvalidAnswerError(
                    f"{request.method} {url.path}: an unexpected {response.status}", host=host
                )
            # It is read in any case, so that the connection can be used again.
            error = await response_error(response, host, self.retries.clock)
            asks = response.status == 401 and self._connections.lead_to(response.url)
            challenges = response.headers.getall("WWW-Authenticate", [])
            if (
                not asks
                or challenged == _MOST_LOGINS
                or not await self._authenticator.learn(
                    parse_challenges(challenges), request.scopes, authorization
                )
            ):
                if self._connections.lead_to(response.url):
                    self._authenticator.blame(error, was_sent=authorization is not None)
                raise error
        raise AssertionError("the last challenge is not answered")

    async def _redirected(
        self, request: Request, url: URL, authorization: str | None
    ) -> aiohttp.ClientResponse:
        """Do a request, and follow where it is redirected, without the credentials elsewhere."""
        for _ in range(_MOST_REDIRECTS + 1):
            headers = dict(request.headers)
            if authorization is not None and self._connections.lead_to(url):
                headers["Authorization"] = authorization
            silence = request.patience * self._connections.timeout
            response = await self._connections.exchange(
                request.method, url, headers, request.body, silence
            )
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            await beginning(response)
            try:
                # It is signed as it is: nothing in it is quoted anew.
                target = given_url(url.join(URL(location, encoded=True)))
            except ValueError:
                raise InvalidAnswerError("it redirects to no URL", host=self.host) from None
            if request.method not in ("GET", "HEAD"):
                raise RedirectRefusedError(
                    f"{request.method} {url.path}: what is sent is not redirected", host=self.host
                )
            if target.scheme not in ("http", "https") or (
                url.scheme == "https" and target.scheme == "http"
            ):
                raise RedirectRefusedError(
                    f"{request.method} {url.path}: a redirect to {target.scheme}, without "
                    "encryption",
                    host=self.host,
                )
            url = target
        raise RedirectRefusedError(
            f"{request.method}: more than {_MOST_REDIRECTS} redirects", host=self.host
        )

    async def _fetch(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        """Do a request to a token server. A redirect would take the secret along: none is taken."""

        async def attempt() -> bytes:
            response = await self._connections.exchange(method, url, headers, body)
            host = self._connections.host_of(url)
            try:
                if response.status != 200:
                    raise await response_error(response, host, self.retries.clock)
                answer = Answer(response, host, self._connections.timeout)
                return await answer.read(_MOST_OF_A_TOKEN)
            finally:
                response.close()

        try:
            return await self._tried(attempt, Request(method, url))
        except RegistryError as error:
            # It has been tried often enough: the request that needs the token does not begin again.
            error.is_exhausted = True
            self._authenticator.blame(error, was_sent=True)
            raise
