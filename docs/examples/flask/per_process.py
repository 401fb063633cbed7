"""A `SyncStorage` for each process, whoever starts the processes and forks them."""

from __future__ import annotations

import os
import threading

from storagedriver_core import SyncStorage, open_storage


class PerProcess:
    """Gives this process's storage, which is opened when it is asked for the first time.

    What is open cannot be used by a forked child, and refuses. So it may be made before the fork,
    which finds mistakes in the configuration, but each process opens its own.

    Args:
        config: File that configures the storage.

    Raises:
        ConfigurationError: The configuration is not right.
    """

    def __init__(self, config: str) -> None:
        open_storage(config)
        self._config = config
        self._storage: SyncStorage | None = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self) -> SyncStorage:
        """Give the open storage; any number of threads may use it.

        Raises:
            ConfigurationError: The store does not exist, or is not what the driver expects.
        """
        with self._lock:
            if self._storage is None:
                storage = SyncStorage(open_storage(self._config))
                storage.open()
                self._storage = storage
            return self._storage

    def close(self) -> None:
        """Close it, where it is open. The next call opens another one."""
        with self._lock:
            storage, self._storage = self._storage, None
        if storage is not None:
            storage.close()

    def _forget(self) -> None:
        # Another thread of the parent may have held the lock, and does not run here.
        self._lock = threading.Lock()
        self._storage = None
