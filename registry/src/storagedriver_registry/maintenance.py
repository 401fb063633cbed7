"""Work on a store that needs no server."""

from __future__ import annotations

from collections.abc import Callable

from storagedriver_core import ConfigurationError, Storage
from storagedriver_registry.configuration import Configuration
from storagedriver_registry.storage import make_stores


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
    if config.backend is None:
        raise ConfigurationError("storage: the key of a driver is required")
    storage: Storage = config.backend.build()
    manifests = referrers = 0
    async with storage:
        stores = make_stores(storage)
        async for name in stores.catalog.names():
            subjects = [subject async for subject in stores.referrers.rebuild(name)]
            found = len(subjects) - subjects.count(None)
            report(name, len(subjects), found)
            manifests += len(subjects)
            referrers += found
    return manifests, referrers
