"""Measures the storage and its caches."""

from __future__ import annotations

from collections.abc import Callable

from storagedriver_core import OperationEvent, StorageDriverError
from storagedriver_registry.digest import Digest
from storagedriver_registry.metrics.meters import Meters
from storagedriver_registry.storage.descriptors import Descriptor, Descriptors

# Source: distribution's `registry/storage/driver/base`.
# There of `read` and `write` only the beginning is measured, here the whole stream.
# A local path is asked for where a link or a blob only has to be there.
_ACTIONS = {
    "local_path": "Stat",
    "redirect_url": "RedirectURL",
    "read": "Reader",
    "write": "Writer",
}


def observe_storage(meters: Meters) -> Callable[[OperationEvent], None]:
    """Give an observer that measures each operation of a storage."""

    def observe(event: OperationEvent) -> None:
        action = _ACTIONS.get(event.operation) or event.operation.title().replace("_", "")
        meters.storage_seconds.labels(event.driver_name, action).observe(event.duration)
        if event.size:
            meters.storage_bytes.labels(event.driver_name, action).inc(event.size)
        if isinstance(event.error, StorageDriverError):
            kind = type(event.error).__name__
            meters.storage_errors.labels(event.driver_name, action, kind).inc()

    return observe


class MeteredDescriptors(Descriptors):
    """Descriptors of which is counted how often they were asked for, and there.

    Args:
        inner: What is measured.
        meters: Where it is counted.
    """

    def __init__(self, inner: Descriptors, meters: Meters) -> None:
        self._inner = inner
        self._request, self._hit, self._miss = (
            meters.cache.labels(kind) for kind in ("Request", "Hit", "Miss")
        )

    async def get(self, digest: Digest) -> Descriptor | None:
        """Give a descriptor, and count whether there was one."""
        found = await self._inner.get(digest)
        self._request.inc()
        (self._miss if found is None else self._hit).inc()
        return found

    async def put(self, digest: Digest, descriptor: Descriptor) -> None:
        """Remember a descriptor."""
        await self._inner.put(digest, descriptor)

    async def forget(self, digest: Digest) -> None:
        """Forget a descriptor."""
        await self._inner.forget(digest)

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._inner.aclose()
