"""A registry, as its clients see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import TYPE_CHECKING

from storagedriver_registry.client.credentials import Credentials, CredentialSource
from storagedriver_registry.client.paging import pages, texts
from storagedriver_registry.client.repository import Repository
from storagedriver_registry.client.retrying import Retries
from storagedriver_registry.client.tls import TLSOptions
from storagedriver_registry.client.tokens import CATALOG_SCOPE
from storagedriver_registry.client.transport import Request, Transport

if TYPE_CHECKING:
    from typing import Self

_MOST_OF_AN_ANSWER = 1 << 20


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
        tls: Certificates; by default the authorities that the machine trusts.
        retries: What is tried again, how often, after how long.
        connections: Most connections at once.
    """

    def __init__(
        self,
        host: str,
        *,
        credentials: Credentials | CredentialSource | None = None,
        plain_http: bool | None = None,
        tls: TLSOptions | None = None,
        retries: Retries | None = None,
        connections: int = 16,
    ) -> None:
        self.host = host
        self._transport = Transport(
            host,
            credentials=credentials,
            plain_http=plain_http,
            tls=tls or TLSOptions(),
            retries=retries or Retries(),
            connections=connections,
        )

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
        await self._transport.aclose()

    async def ping(self) -> None:
        """Return if it is a registry, and it takes the credentials.

        Raises:
            UnauthorizedError: It does not.
            NotFoundError: It is none.
        """
        await self._transport.read(Request("GET", "/v2/"), _MOST_OF_AN_ANSWER)

    def repository(self, name: str) -> Repository:
        """Give a repository, whether it is there or not; nothing is asked.

        Raises:
            InvalidReferenceError: It cannot be the name of one.
        """
        return Repository(self._transport, name)

    async def catalog(self, *, page_size: int | None = None) -> AsyncGenerator[str, None]:
        """Give the names of the repositories, in the registry's order.

        Args:
            page_size: Names that one request asks for; None for what the registry likes.
        """
        query = "" if page_size is None else f"?n={page_size}"
        scopes = frozenset({CATALOG_SCOPE})
        async for document, _ in pages(self._transport, f"/v2/_catalog{query}", scopes, {}):
            for name in texts(document, "repositories"):
                yield name
