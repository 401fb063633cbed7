"""How many processes serve where nobody has said so."""

from __future__ import annotations

import os

from storagedriver_registry.configuration import Configuration

# Each takes memory of its own, and two have been measured against docker-registry.
_MOST = 2


def default_workers(configuration: Configuration) -> int:
    """Two on several processors, where they need not know of each other; else one.

    They need not for files: the kernel tells each of them at once what another has done. Of a
    remote store each remembers links by itself, an `inmemory` storage is one process's, and two
    proxies would fetch a blob twice.

    Raises:
        ConfigurationError: There is no storage, or it cannot be made.
    """
    if _processors() < _MOST or configuration.settings.proxy.remoteurl is not None:
        return 1
    storage = configuration.require_backend().build()
    return _MOST if storage.capabilities.local_path else 1


def _processors() -> int:
    """Give the number of processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
