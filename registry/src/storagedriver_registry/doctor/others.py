"""Everything but the storage: whatever a server needs, or reaches for."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from storagedriver_core import ConfigurationError, Finding, StorageConfig, StorageDriverError
from storagedriver_registry.configuration import Configuration
from storagedriver_registry.configuration.models import HttpSettings
from storagedriver_registry.doctor.sharing import examine_sharing, unknown_sharing
from storagedriver_registry.health import CheckFailedError, make_health
from storagedriver_registry.notifications.endpoints import Endpoint, make_endpoints
from storagedriver_registry.notifications.notifier import queue_directory
from storagedriver_registry.notifications.queue import Queue
from storagedriver_registry.proxy.client_upstream import ClientUpstream
from storagedriver_registry.proxy.errors import UpstreamError
from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.options import options_of
from storagedriver_registry.serving.sockets import bind
from storagedriver_registry.serving.tls import prepare_tls
from storagedriver_registry.storage.redis_descriptors import RedisDescriptors


class _LeftOutError(Exception):
    """A step is not taken; the text says why."""


class _Examination:
    """The steps, each of which returns a line, or raises.

    Args:
        configuration: What is examined.
        read_only: Leave out what writes.
        seconds: What one step may take.
    """

    def __init__(self, configuration: Configuration, *, read_only: bool, seconds: float) -> None:
        self._configuration = configuration
        self._settings = configuration.settings
        self._read_only = read_only
        self._seconds = seconds

    async def run(self) -> AsyncIterator[Finding]:
        http = self._settings.http
        yield await self._sharing(self._configuration.require_backend())
        yield await self._step("address", lambda: self._bind(http))
        if http.debug.addr is not None:
            debug = HttpSettings(addr=http.debug.addr)
            yield await self._step("debug address", lambda: self._bind(debug))
        if http.tls.enabled:
            yield await self._step("TLS", self._tls)
        if self._configuration.auth is not None:
            yield await self._step("authentication", self._auth)
        if self._settings.storage.cache.blobdescriptor == "redis":
            yield await self._step("redis", self._redis)
        if self._settings.proxy.remoteurl is not None:
            yield await self._step("upstream", self._upstream)
        async for finding in self._notifications():
            yield finding
        async for finding in self._health():
            yield finding

    async def _sharing(self, backend: StorageConfig) -> Finding:
        storage = backend.build()
        try:
            async with asyncio.timeout(self._seconds), storage:
                # Some drivers learn only as they are opened what they can do.
                return examine_sharing(self._settings, storage.capabilities)
        except (StorageDriverError, TimeoutError):
            # Why it does not open is told where the storage is examined.
            return unknown_sharing()

    async def _bind(self, http: HttpSettings) -> str:
        address = options_of(http).address
        if isinstance(address, Path) and address.exists():
            raise _LeftOutError(f"{address} is there: a server may be at work")
        if isinstance(address, Path) and self._read_only:
            raise _LeftOutError("it writes")
        try:
            listener = bind(address)
        except StartError as error:
            if "in use" in str(error):
                raise _LeftOutError(f"{error}: a server may be at work") from None
            raise
        listener.remove_file()
        listener.close()
        return f"{listener.origin} is free"

    async def _tls(self) -> str:
        prepare_tls(options_of(self._settings.http).tls)
        certificate = _certificate(self._settings.http)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begin <= datetime.now(UTC) <= end:
            raise StartError(f"the certificate holds from {begin:%Y-%m-%d} to {end:%Y-%m-%d}")
        left = end - datetime.now(UTC)
        return f"the certificate holds until {end:%Y-%m-%d}, for {left.days} days"

    async def _auth(self) -> str:
        auth = self._configuration.auth
        assert auth is not None
        path = getattr(auth.parameters, "path", None)
        if path is not None and not _is_there(path):
            raise _LeftOutError(f"{path} is not there; a server would make it")
        controller = auth.build()
        try:
            await controller.open()
        finally:
            await controller.aclose()
        return "the access controller can be opened"

    async def _redis(self) -> str:
        redis = RedisDescriptors(self._settings.redis)
        try:
            await redis.ping()
        finally:
            await redis.aclose()
        return f"{', '.join(self._settings.redis.addresses)} answers"

    async def _upstream(self) -> str:
        upstream = ClientUpstream(self._settings.proxy)
        try:
            await upstream.ping()
        except UpstreamError as error:
            raise CheckFailedError(str(error)) from error
        finally:
            await upstream.aclose()
        return f"{self._settings.proxy.remoteurl} answers"

    async def _notifications(self) -> AsyncIterator[Finding]:
        try:
            endpoints = make_endpoints(self._settings.notifications.endpoints)
        except ConfigurationError as error:
            yield Finding("notifications", "failed", error.message)
            return
        if endpoints:
            yield await self._step("notifications queue", self._queue)
        for one in endpoints:

            async def reach(endpoint: Endpoint = one) -> str:
                return await self._reach(endpoint)

            yield await self._step(f"notifications {one.name}", reach)

    async def _queue(self) -> str:
        directory = queue_directory(self._configuration)
        if self._read_only or not directory.exists():
            raise _LeftOutError("it writes" if self._read_only else f"{directory} is not there yet")
        queue = Queue(directory, 1)

        def look() -> dict[str, int]:
            queue.open()
            try:
                return queue.waiting()
            finally:
                queue.close()

        waiting = await asyncio.to_thread(look)
        told = ", ".join(f"{count} for {name}" for name, count in waiting.items())
        return f"{directory}: {told or 'nothing'} waits"

    async def _reach(self, endpoint: Endpoint) -> str:
        """Connect, and no more: what is sent would be taken for an event."""
        url = urlsplit(endpoint.url)
        secure = ssl.create_default_context() if url.scheme == "https" else None
        port = url.port or (443 if secure else 80)
        _, writer = await asyncio.open_connection(url.hostname, port, ssl=secure)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return "it takes connections"

    async def _health(self) -> AsyncIterator[Finding]:
        backend = self._configuration.require_backend()
        settings = self._settings.health
        # That of the storage was examined in full.
        of_others = settings.model_copy(
            update={"storagedriver": settings.storagedriver.model_copy(update={"enabled": False})}
        )
        health = make_health(of_others, backend.build(), is_shown=False)
        for name, check in () if health is None else health.checks():

            async def look(look_once: Callable[[], Awaitable[None]] = check) -> str:
                await look_once()
                return "it is well"

            yield await self._step(f"health {name}", look)

    async def _step(self, name: str, work: Callable[[], Awaitable[str]]) -> Finding:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                detail = await work()
            finding = Finding(name, "ok", detail)
        except _LeftOutError as error:
            return Finding(name, "left out", str(error))
        except (ConfigurationError, StorageDriverError) as error:
            finding = Finding(name, "failed", error.message, type(error).__name__)
        except (CheckFailedError, StartError) as error:
            finding = Finding(name, "failed", str(error))
        except TimeoutError:
            finding = Finding(name, "failed", f"no answer in {self._seconds:g} s")
        except OSError as error:
            finding = Finding(name, "failed", str(error), type(error).__name__)
        seconds = round(time.monotonic() - started, 3)
        return Finding(name, finding.result, finding.detail, finding.error, seconds=seconds)


def _certificate(http: HttpSettings) -> x509.Certificate:
    pem = Path(http.tls.certificate or "").read_bytes()
    return x509.load_pem_x509_certificates(pem)[0]


def _is_there(path: str) -> bool:
    return Path(path).exists()


def examine_others(
    configuration: Configuration, *, read_only: bool, seconds: float
) -> AsyncIterator[Finding]:
    """Give what is found of everything but the storage.

    Args:
        configuration: What is examined.
        read_only: Leave out what writes.
        seconds: What one step may take.
    """
    return _Examination(configuration, read_only=read_only, seconds=seconds).run()
