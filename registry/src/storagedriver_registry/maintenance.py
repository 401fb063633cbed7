"""Work on a store that needs no server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from storagedriver_registry.configuration import Configuration
from storagedriver_registry.storage import Stores, make_caches, make_stores
from storagedriver_registry.storage.garbage import Collector
from storagedriver_registry.storage.garbage_report import GarbageOptions, GarbageReport
from storagedriver_registry.storage.garbage_scan import Progress


@asynccontextmanager
async def opened_stores(config: Configuration) -> AsyncIterator[Stores]:
    """Open what a configuration names, for the length of the block.

    Raises:
        ConfigurationError: No store is named.
        StorageDriverError: It cannot be opened.
    """
    async with config.require_backend().build() as storage:
        yield make_stores(storage)


async def collect_garbage(
    config: Configuration, options: GarbageOptions, progress: Progress
) -> GarbageReport:
    """Delete what no manifest names.

    Args:
        config: Names the store, and what servers remember.
        options: How.
        progress: Is told how far it is.

    Raises:
        ConfigurationError: No store is named.
        GarbageError: It must not be done here and now; or a manifest cannot be read.
        StorageDriverError: The store failed. The next collection goes on.
    """
    backend = config.require_backend()
    caches = make_caches(config.settings.storage.cache, config.settings.redis)
    options = replace(options, max_stale=caches.max_stale)
    async with backend.build() as storage, aclosing(caches):
        collector = Collector(storage, options, caches.descriptors.forget, progress)
        return await collector.collect()


async def rebuild_referrers(
    config: Configuration, report: Callable[[str, int, int], None]
) -> tuple[int, int]:
    """Index the referrers that a registry without such an index has stored.

    Servers may be at work meanwhile, and it may be repeated: what is indexed stays so.

    Args:
        config: Names the store.
        report: Called after each repository with its name, manifests and referrers.

    Returns:
        Manifests and referrers of all repositories.

    Raises:
        ConfigurationError: No store is named.
        StorageDriverError: The store failed. What was indexed until then is.
    """
    manifests = referrers = 0
    async with opened_stores(config) as stores:
        async for name in stores.catalog.names():
            subjects = [subject async for subject in stores.referrers.rebuild(name)]
            found = len(subjects) - subjects.count(None)
            report(name, len(subjects), found)
            manifests += len(subjects)
            referrers += found
    return manifests, referrers
