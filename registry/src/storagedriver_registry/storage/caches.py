"""What is remembered, as the configuration asks."""

from __future__ import annotations

from dataclasses import dataclass

from storagedriver_registry.configuration.models import CacheSettings, RedisSettings
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage.contents import Contents
from storagedriver_registry.storage.descriptors import Descriptors, SharedDescriptors
from storagedriver_registry.storage.redis_descriptors import RedisDescriptors


@dataclass(frozen=True, slots=True)
class NamedContent:
    """The bytes of a manifest, or of another small blob.

    Attributes:
        data: As they were pushed.
        media_type: The type that they name; empty if none, and None if nobody has asked yet.
    """

    data: bytes
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Caches:
    """What one process remembers of a store.

    Attributes:
        descriptors: Sizes and media types by digest.
        contents: Manifests and other small blobs by digest.
        max_stale: For how many seconds a link that was found may be taken for there, where the
            store is not local.
    """

    descriptors: Descriptors
    contents: Contents[Digest, NamedContent]
    max_stale: float

    async def open(self) -> None:
        """Do nothing: connections are made when they are needed."""

    async def aclose(self) -> None:
        """Let go of connections."""
        await self.descriptors.aclose()


def no_caches() -> Caches:
    """Remember nothing."""
    return Caches(Descriptors(0, is_enabled=False), Contents(0), 0.0)


def make_caches(settings: CacheSettings, redis: RedisSettings) -> Caches:
    """Make what the configuration asks for; no I/O.

    Raises:
        ConfigurationError: Redis is asked for, and cannot be used.
    """
    if settings.blobdescriptor is None:
        return no_caches()
    shared: SharedDescriptors | None = None
    if settings.blobdescriptor == "redis":
        shared = RedisDescriptors(redis)
    return Caches(
        Descriptors(settings.blobdescriptorsize, shared),
        Contents(settings.max_bytes),
        settings.max_stale,
    )
