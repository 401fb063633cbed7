"""The proxy, as the configuration asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from storagedriver_core import ConfigurationError, Storage
from storagedriver_registry.api import blobs, manifests, referrers, tags
from storagedriver_registry.api.router import Handler
from storagedriver_registry.configuration import Configuration
from storagedriver_registry.proxy.blobs import ProxiedBlobs
from storagedriver_registry.proxy.client_upstream import ClientUpstream
from storagedriver_registry.proxy.counting import ProxyCounter
from storagedriver_registry.proxy.downloads import Downloads
from storagedriver_registry.proxy.expiry import Expirer
from storagedriver_registry.proxy.fetched import Fetched
from storagedriver_registry.proxy.lists import ProxiedLists
from storagedriver_registry.proxy.manifests import ProxiedManifests
from storagedriver_registry.proxy.spool import check_directory
from storagedriver_registry.proxy.upstream import Upstream
from storagedriver_registry.storage import Caches, Stores

_DEFAULT_TTL_SECONDS = 7 * 24 * 3600.0


class Proxy:
    """Takes the place of handlers of the API.

    Args:
        upstream: The upstream registry.
        stores: Where its content is kept.
        fetched: Where that is noted.
        directory: For blobs while they come; None for the system's directory of temporary files.
        expirer: Lets go of what was kept long enough; None to keep everything.
        counter: Is told.

    Attributes:
        handlers: By the ordinary handler, what takes its place.
    """

    def __init__(
        self,
        upstream: Upstream,
        stores: Stores,
        fetched: Fetched,
        directory: str | None,
        expirer: Expirer | None,
        counter: ProxyCounter,
    ) -> None:
        self._upstream = upstream
        self._directory = directory
        self._downloads = Downloads(upstream, stores.blobs, fetched, directory, counter)
        self._manifests = ProxiedManifests(upstream, stores, fetched, counter)
        self._expirer = expirer
        lists = ProxiedLists(upstream)
        self.handlers: Mapping[Handler, Handler] = {
            blobs.get: ProxiedBlobs(upstream, self._downloads, fetched, counter).get,
            manifests.get: self._manifests.get,
            tags.get: lists.tags,
            referrers.get: lists.referrers,
        }

    async def open(self) -> None:
        """Make ready; the upstream is asked when something is wanted of it.

        Raises:
            ConfigurationError: Blobs cannot be kept while they come.
        """
        await asyncio.to_thread(check_directory, self._directory)
        await self._upstream.open()

    def start_maintenance(self) -> None:
        """Begin to let go of what was kept long enough: one process does it for all."""
        if self._expirer is not None:
            self._expirer.start()

    async def aclose(self) -> None:
        """End what is under way."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._upstream.aclose)
            stack.push_async_callback(self._downloads.aclose)
            stack.push_async_callback(self._manifests.aclose)
            if self._expirer is not None:
                stack.push_async_callback(self._expirer.aclose)


def make_proxy(
    config: Configuration, storage: Storage, stores: Stores, caches: Caches, counter: ProxyCounter
) -> Proxy:
    """Make what the configuration asks for; no I/O.

    Raises:
        ConfigurationError: It cannot be a proxy so.
    """
    settings = config.settings.proxy
    if config.settings.storage.maintenance.readonly.enabled:
        raise ConfigurationError(
            "proxy: it stores what it fetches, and storage.maintenance.readonly does not let it"
        )
    ttl = _DEFAULT_TTL_SECONDS if settings.ttl is None else settings.ttl
    fetched, expirer = Fetched(storage), None
    if ttl:
        forget = caches.descriptors.forget
        expirer = Expirer(storage, stores, fetched, ttl, caches.max_stale, forget)
    directory = settings.spool or _beside_the_store(config)
    return Proxy(ClientUpstream(settings), stores, fetched, directory, expirer, counter)


def _beside_the_store(config: Configuration) -> str | None:
    """Give the directory of a store of files, which is large and on a disk; None for others."""
    backend = config.backend
    if backend is None or backend.driver_name != "filesystem":
        return None
    root = getattr(backend.parameters, "root_directory", None)
    return None if root is None else str(root)
