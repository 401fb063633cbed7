"""Descriptors in Redis or Valkey, which all processes share.

```text
storagedriver:blob:<digest>     "<size> <media type>"
```

Requests do not depend on it. Whatever goes wrong is as good as no answer. It is not asked for a
moment then, so that a server that hangs costs one request a second its timeout, and the log says so
once in a while. Names are not docker/distribution's, which takes what it finds for permissions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storagedriver_core import ConfigurationError
from storagedriver_registry.configuration.models import RedisSettings
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage.descriptors import Descriptor

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
_TIMEOUT_SECONDS = 0.25
_MOST_CONNECTIONS = 32
_WARNING_SECONDS = 60.0
_PREFIX = "storagedriver:blob:"
_PORT = 6379


class RedisDescriptors:
    """Descriptors in one Redis.

    Args:
        settings: Where it is, and how it is asked.

    Raises:
        ConfigurationError: No address is given, or the package `redis` is missing.
    """

    def __init__(self, settings: RedisSettings) -> None:
        if not (settings.addrs or settings.addr):
            raise ConfigurationError("redis: an address is required by storage.cache")
        try:
            # An extra of this package, which only this cache needs.
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigurationError(
                "storage.cache: Redis needs `pip install storagedriver-registry[redis]`"
            ) from None
        self._errors = (RedisError, OSError, TimeoutError)
        self._settings = settings
        times = (settings.dialtimeout, settings.readtimeout, settings.writetimeout)
        self._timeout = max([time for time in times if time] or [_TIMEOUT_SECONDS])
        self._client: Redis | RedisCluster | None = None
        self._resting_until = 0.0
        self._quiet_until = 0.0

    async def get(self, digest: Digest) -> Descriptor | None:
        """Give a descriptor; None if there is none, or no answer in time."""
        text = await self._ask(lambda client: client.get(f"{_PREFIX}{digest}"))
        return _parse(text) if isinstance(text, bytes) else None

    async def put(self, digest: Digest, descriptor: Descriptor) -> None:
        """Remember a descriptor."""
        text = f"{descriptor.size} {descriptor.media_type}"
        await self._ask(lambda client: client.set(f"{_PREFIX}{digest}", text))

    async def forget(self, digest: Digest) -> None:
        """Forget a descriptor."""
        await self._ask(lambda client: client.delete(f"{_PREFIX}{digest}"))

    async def ping(self) -> None:
        """Return if it answers.

        Raises:
            OSError: It does not, or not as it should.
            TimeoutError: Not in time.
        """
        if self._client is None:
            self._client = _connect(self._settings)
        try:
            async with asyncio.timeout(self._timeout):
                # Of one server and of a cluster, which have no types for it in common.
                ping: Any = self._client.ping
                await ping()
        except TimeoutError:
            raise
        except self._errors as error:
            raise OSError(f"{type(error).__name__}: {error}") from None

    async def aclose(self) -> None:
        """Let go of connections. It can be asked again afterwards."""
        client, self._client = self._client, None
        if client is not None:
            try:
                await client.aclose()
            except self._errors as error:
                logger.debug("the cache's connections: %r", error)

    async def _ask(
        self, question: Callable[[Redis | RedisCluster], Awaitable[object]]
    ) -> object | None:
        if time.monotonic() < self._resting_until:
            return None
        try:
            if self._client is None:
                self._client = _connect(self._settings)
            async with asyncio.timeout(self._timeout):
                return await question(self._client)
        except self._errors as error:
            now = time.monotonic()
            self._resting_until = now + PAUSE_SECONDS
            if now > self._quiet_until:
                self._quiet_until = now + _WARNING_SECONDS
                text = f"{type(error).__name__}: {error}"
                logger.warning("the cache does not answer, the storage is asked: %s", text)
            return None


def _parse(text: bytes) -> Descriptor | None:
    """Read an entry; None if another program has written it."""
    size, separator, media_type = text.decode("latin-1").partition(" ")
    if not separator or not size.isascii() or not size.isdecimal():
        return None
    return Descriptor(int(size), media_type)


def _connect(settings: RedisSettings) -> Redis | RedisCluster:
    """Make a client of one server, of a cluster, or of what sentinels name; no I/O."""
    from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.connection import SSLConnection

    tls = settings.tls
    options: dict[str, Any] = {
        "username": settings.username,
        "password": None if settings.password is None else settings.password.get_secret_value(),
        "client_name": settings.clientname,
        "protocol": settings.protocol or 2,
        "socket_connect_timeout": settings.dialtimeout or _TIMEOUT_SECONDS,
        "socket_timeout": settings.readtimeout or _TIMEOUT_SECONDS,
    }
    secure: dict[str, Any] = {}
    if settings.encrypted:
        secure["ssl_certfile"], secure["ssl_keyfile"] = tls.certificate, tls.key
        if tls.clientcas:
            secure["ssl_ca_data"] = "\n".join(
                Path(path).read_text("ascii") for path in tls.clientcas
            )
    nodes = [_address(text) for text in settings.addresses]
    if settings.mastername:
        if secure:
            secure["ssl"] = True
        given = settings.sentinelpassword
        keys = {
            "username": settings.sentinelusername,
            "password": None if given is None else given.get_secret_value(),
        }
        # Their constructor has no types.
        make: Any = Sentinel
        sentinels = make(nodes, sentinel_kwargs=keys | secure, db=settings.db, **options)
        master: Redis = sentinels.master_for(settings.mastername, **secure)
        return master
    if len(nodes) > 1 or settings.isclustermode:
        startup = [ClusterNode(host, port) for host, port in nodes]
        return RedisCluster(startup_nodes=startup, ssl=bool(secure), **options, **secure)
    if settings.encrypted:
        options |= {"connection_class": SSLConnection, **secure}
    host, port = nodes[0]
    pool = BlockingConnectionPool(
        host=host,
        port=port,
        db=settings.db,
        max_connections=settings.poolsize or settings.pool.maxactive or _MOST_CONNECTIONS,
        timeout=settings.pooltimeout or _TIMEOUT_SECONDS,
        **options,
    )
    return Redis.from_pool(pool)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        return text.strip("[]"), _PORT
    return host.strip("[]"), int(port)
