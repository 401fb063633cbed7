"""The upstream registry, asked by the client library."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from yarl import URL

from storagedriver_core import ConfigurationError
from storagedriver_registry.client import (
    BlobReader,
    Credentials,
    DeniedError,
    DigestMismatchError,
    InvalidAnswerError,
    NotFoundError,
    RangeInvalidError,
    RegistryClient,
    RegistryError,
    ResponseError,
    Retries,
    TooManyRequestsError,
    UnauthorizedError,
)
from storagedriver_registry.configuration.models.operation import ProxySettings
from storagedriver_registry.digest import Digest
from storagedriver_registry.proxy.credentials import ask_program
from storagedriver_registry.proxy.errors import (
    UpstreamBrokenError,
    UpstreamBusyError,
    UpstreamDeniedError,
    UpstreamDownError,
    UpstreamSlowError,
    UpstreamUnknownError,
)
from storagedriver_registry.proxy.upstream import FetchedBlob, FetchedManifest

logger = logging.getLogger(__name__)

_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_OFFICIAL = "library"

_GONE = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN"})

_ANSWER_SECONDS = 20.0
"""A question that is not answered by then is not answered: a cached answer may do."""

# Clients wait meanwhile. Who wants to be asked again later, tells it to them.
_RETRIES = Retries(attempts=3, first_delay=0.2, most_wait=1.0)
# Each blob on its way has one, for as long as it takes.
_MOST_CONNECTIONS = 256


class _Connections:
    """A client with the credentials that it began with, and how many use it."""

    def __init__(self, client: RegistryClient, until: float) -> None:
        self.client = client
        self.until = until
        self.users = 0


class ClientUpstream:
    """The upstream registry.

    Args:
        settings: Which one it is, and who we are there.

    Raises:
        ConfigurationError: `remoteurl` is no URL of a registry.
    """

    def __init__(self, settings: ProxySettings) -> None:
        url = _remote_url(settings)
        self._host = url.host_port_subcomponent or ""
        # As distribution resolves paths against it: what is behind the last slash is left out.
        self._prefix = url.raw_path[: url.raw_path.rfind("/") + 1]
        self._is_plain = url.scheme == "http"
        self._is_hub = url.host in _HUB
        self._username = settings.username or ""
        self._password = "" if settings.password is None else settings.password.get_secret_value()
        self._command = shlex.split(settings.exec.command or "")
        self._lifetime = settings.exec.lifetime
        self._current: _Connections | None = None
        self._making = asyncio.Lock()

    async def open(self) -> None:
        """Do nothing: connections are made when they are needed."""

    async def aclose(self) -> None:
        """Let go of connections."""
        current, self._current = self._current, None
        if current is not None:
            await current.client.aclose()

    async def ping(self) -> None:
        """Return if it is a registry that takes our credentials."""
        async with self._asking() as client:
            await client.ping()

    # What is asked -----------------------------------------------------------------------------

    async def tagged(self, name: str, tag: str) -> Digest | None:
        """Give the digest that a tag points to; None if the registry does not say."""
        async with self._asking() as client:
            return (await client.repository(self._name(name)).manifests.head(tag)).digest

    async def manifest(self, name: str, reference: str) -> FetchedManifest:
        """Fetch a manifest by its tag or digest."""
        async with self._asking() as client:
            fetched = await client.repository(self._name(name)).manifests.get(reference)
            return FetchedManifest(fetched.data, fetched.media_type)

    async def blob_size(self, name: str, digest: Digest) -> int:
        """Give the bytes of a blob."""
        async with self._asking() as client:
            return (await client.repository(self._name(name)).blobs.stat(digest)).size

    @asynccontextmanager
    async def blob(
        self, name: str, digest: Digest, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[FetchedBlob]:
        """Fetch a blob, or a range of it."""
        async with AsyncExitStack() as stack:
            # For a connection, too, it waits no longer than for any other answer.
            with _answering():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    client = await stack.enter_async_context(self._using())
                    with _translating():
                        blobs = client.repository(self._name(name)).blobs
                        reader = await blobs.open(digest, offset=offset, length=length)
            await stack.enter_async_context(reader)
            left = reader.size - offset
            yield FetchedBlob(left if length is None else min(left, length), _translated(reader))

    async def tags(self, name: str) -> list[str]:
        """Give all tags of a repository."""
        async with self._asking() as client:
            return [tag async for tag in client.repository(self._name(name)).tags.list()]

    async def referrers(self, name: str, subject: Digest) -> list[dict[str, Any]]:
        """Give the descriptors of all manifests that refer to a subject."""
        async with self._asking() as client:
            referrers = client.repository(self._name(name)).referrers
            return [descriptor async for descriptor in referrers.list(subject)]

    # How it is asked ---------------------------------------------------------------------------

    def _name(self, name: str) -> str:
        """Give what a repository is called upstream. Docker Hub's own are in `library`."""
        return f"{_OFFICIAL}/{name}" if self._is_hub and "/" not in name else name

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[RegistryClient]:
        """Give the client for a question that is to be answered soon."""
        with _answering():
            async with asyncio.timeout(_ANSWER_SECONDS), self._using() as client:
                with _translating():
                    yield client

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[RegistryClient]:
        """Give the client, with credentials that hold."""
        async with self._making:
            current = self._current
            if current is None or asyncio.get_running_loop().time() >= current.until:
                current, former = await self._made(), current
                self._current = current
                if former is not None and not former.users:
                    await former.client.aclose()
            current.users += 1
        try:
            yield current.client
        finally:
            current.users -= 1
            if current is not self._current and not current.users:
                await current.client.aclose()

    async def _made(self) -> _Connections:
        until = float("inf")
        credentials: Credentials | None = None
        if self._command:
            credentials = await ask_program(self._command, self._host)
            if self._lifetime is not None:
                until = asyncio.get_running_loop().time() + self._lifetime
        elif self._username:
            credentials = Credentials(self._username, self._password)
        client = RegistryClient(
            self._host,
            credentials=credentials,
            plain_http=self._is_plain,
            retries=_RETRIES,
            connections=_MOST_CONNECTIONS,
            prefix=self._prefix,
        )
        return _Connections(client, until)


def _remote_url(settings: ProxySettings) -> URL:
    text = settings.remoteurl or ""
    try:
        url = URL(text if "://" in text else f"https://{text}")
    except ValueError:
        url = URL()
    is_plain = not (url.query_string or url.fragment or url.user)
    if url.scheme not in ("http", "https") or not url.host or not is_plain:
        # Not said: it may hold a password.
        raise ConfigurationError("proxy.remoteurl: it is like https://registry-1.docker.io")
    return url


async def _translated(reader: BlobReader) -> AsyncIterator[bytes]:
    with _translating():
        async for chunk in reader:
            yield chunk


@contextmanager
def _answering() -> Iterator[None]:
    """Let the end of the time for an answer be what is wrong."""
    try:
        yield
    except TimeoutError:
        raise UpstreamSlowError(f"no answer within {_ANSWER_SECONDS:g}s") from None


@contextmanager
def _translating() -> Iterator[None]:
    """Let errors of the client pass as those of this package."""
    try:
        yield
    except NotFoundError as error:
        is_said = any(entry.code in _GONE for entry in error.errors)
        raise UpstreamUnknownError(str(error), is_said=is_said) from error
    except (UnauthorizedError, DeniedError) as error:
        raise UpstreamDeniedError(str(error)) from error
    except TooManyRequestsError as error:
        raise UpstreamBusyError(str(error), error.retry_after) from error
    except (DigestMismatchError, InvalidAnswerError, RangeInvalidError) as error:
        raise UpstreamBrokenError(str(error)) from error
    except ResponseError as error:
        if error.status >= 500:
            raise UpstreamDownError(str(error)) from error
        raise UpstreamBrokenError(str(error)) from error
    except RegistryError as error:
        raise UpstreamDownError(str(error)) from error
