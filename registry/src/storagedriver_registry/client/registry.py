"""A registry, as its clients see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from storagedriver_registry.client.connections import TIMEOUT
from storagedriver_registry.client.credentials import Credentials, CredentialSource
from storagedriver_registry.client.errors import BlockedError
from storagedriver_registry.client.mirrors import (
    Mirror,
    RegistriesConfig,
    RegistryRule,
    placed,
)
from storagedriver_registry.client.origins import Origin, Origins
from storagedriver_registry.client.paging import pages, texts
from storagedriver_registry.client.repository import Repository
from storagedriver_registry.client.retrying import Retries
from storagedriver_registry.client.tls import TLSOptions
from storagedriver_registry.client.tokens import CATALOG_SCOPE
from storagedriver_registry.client.transport import Request, Transport

if TYPE_CHECKING:
    from typing import Self

_MOST_OF_AN_ANSWER = 1 << 20
_TRIES_OF_A_MIRROR = 2


class RegistryClient:
    """A registry of OCI or Docker.

    ```python
    async with RegistryClient("localhost:5000") as registry:
        repository = registry.repository("library/alpine")
        manifest = await repository.manifests.get("3.22", platform="linux/arm64")
        async with await repository.blobs.open(digest) as reader:
            async for chunk in reader: ...
    ```

    Everything that is read is checked against its digest. What may be repeated is, when the
    registry is busy or the connection breaks. Credentials go to the registry and to the token
    server that it names, and nowhere else; they are in no `repr` and in no error. Proxies are those
    of the environment (`HTTPS_PROXY`, `NO_PROXY` and so on).

    Any number of tasks of one event loop may use it.

    Args:
        host: Host and port, as in references: `localhost:5000`, `docker.io`.
        credentials: Who the client is, or where that is kept; None for anonymous.
        plain_http: True for http, False for https. None: https, but on the loopback whatever the
            registry there speaks.
        tls: Certificates; by default the authorities that the machine trusts. Or what gives those
            for a host, which mirrors may need; others are asked with the machine's.
        retries: What is tried again, how often, after how long.
        connections: Most connections at once.
        mirrors: What is asked before the registry, in this order, for manifests and blobs; or the
            rules of a `registries.conf`. Credentials that are given outright are not theirs.
        timeout: Seconds after which a connection that gives nothing, or takes nothing of what is
            sent, has failed: `StalledError`, if it does not help to try again. However long a
            transfer takes as long as it moves; the end of an upload may take 15 times as long.
        prefix: What stands before `v2/` in the paths of the host, as in a URL: `/hub/`.
    """

    def __init__(
        self,
        host: str,
        *,
        credentials: Credentials | CredentialSource | None = None,
        plain_http: bool | None = None,
        tls: TLSOptions | Callable[[str], TLSOptions] | None = None,
        retries: Retries | None = None,
        connections: int = 16,
        mirrors: Sequence[Mirror] | RegistriesConfig = (),
        timeout: float = TIMEOUT,
        prefix: str = "/",
    ) -> None:
        self.host = host
        self._credentials = credentials
        self._plain_http = plain_http
        self._tls = tls
        self._retries = retries or Retries()
        self._most_connections = connections
        self._timeout = timeout
        self._prefix = prefix
        self._transports: dict[tuple[str, bool, bool], Transport] = {}
        # What is wrong with the host is to be known at once.
        self._transport(host, insecure=False)
        if not isinstance(mirrors, RegistriesConfig):
            mirrors = RegistriesConfig([RegistryRule(host, mirrors=tuple(mirrors))])
        self._config = mirrors

    def __repr__(self) -> str:
        return f"<RegistryClient of {self.host}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        for transport in self._transports.values():
            await transport.aclose()

    async def ping(self) -> None:
        """Return if it is a registry, and it takes the credentials.

        Raises:
            UnauthorizedError: It does not.
            NotFoundError: It is none.
        """
        await self._own(self._rule("")).read(Request("GET", "/v2/"), _MOST_OF_AN_ANSWER)

    def repository(self, name: str) -> Repository:
        """Give a repository, whether it is there or not; nothing is asked.

        Raises:
            InvalidReferenceError: It cannot be the name of one.
            BlockedError: The rules forbid to ask for it.
        """
        rule = self._rule(name)
        own = self._own(rule)
        rest = None if rule is None else rule.rest(self.host, name)
        if rule is None or rest is None or not (rule.mirrors or rule.location):
            return Repository(own, name)
        mirrors = []
        for mirror in rule.mirrors:
            host, there = placed(mirror.location, rest)
            transport = self._transport(host, insecure=mirror.insecure, is_mirror=True)
            mirrors.append(Origin(transport, there, mirror.pull))
        last = Origin(own, name)
        if rule.location:
            host, there = placed(rule.location, rest)
            last = Origin(self._transport(host, insecure=rule.insecure), there)
        return Repository(own, name, Origins(mirrors, last))

    async def catalog(self, *, page_size: int | None = None) -> AsyncGenerator[str, None]:
        """Give the names of the repositories, in the registry's order.

        Args:
            page_size: Names that one request asks for; None for what the registry likes.
        """
        query = "" if page_size is None else f"?n={page_size}"
        scopes = frozenset({CATALOG_SCOPE})
        own = self._own(self._rule(""))
        async for document, _ in pages(own, f"/v2/_catalog{query}", scopes, {}):
            for name in texts(document, "repositories"):
                yield name

    def _rule(self, name: str) -> RegistryRule | None:
        rule = self._config.rule(self.host, name)
        if rule is not None and rule.blocked:
            raise BlockedError(f"{name or 'the registry'} is blocked by its rule", host=self.host)
        return rule

    def _own(self, rule: RegistryRule | None) -> Transport:
        return self._transport(self.host, insecure=rule is not None and rule.insecure)

    def _transport(self, host: str, *, insecure: bool, is_mirror: bool = False) -> Transport:
        key = (host, insecure, is_mirror)
        if key not in self._transports:
            is_own = host == self.host
            given = isinstance(self._credentials, Credentials)
            tls = self._tls(host) if callable(self._tls) else self._tls if is_own else None
            retries = self._retries
            if is_mirror:
                # There are others: one glitch is overlooked, and no time is lost.
                retries = replace(retries, attempts=min(retries.attempts, _TRIES_OF_A_MIRROR))
            self._transports[key] = Transport(
                host,
                credentials=None if given and not is_own else self._credentials,
                plain_http=self._plain_http if is_own else None,
                tls=tls or TLSOptions(),
                retries=retries,
                connections=self._most_connections,
                insecure=insecure,
                timeout=self._timeout,
                prefix=self._prefix if is_own else "/",
            )
        return self._transports[key]
