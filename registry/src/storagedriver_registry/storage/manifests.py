"""Manifests: the revisions of a repository."""

from __future__ import annotations

from storagedriver_core import Storage
from storagedriver_registry.digest import Digest
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.errors import BlobUnknownError, ManifestUnknownError
from storagedriver_registry.storage.links import delete_link, is_file, write_link


class ManifestStore:
    """Keeps manifests byte for byte; what they mean is nothing to it."""

    def __init__(self, storage: Storage, blobs: BlobStore) -> None:
        self._storage = storage
        self._blobs = blobs

    async def exists(self, name: str, digest: Digest) -> bool:
        """Tell whether the repository has the manifest."""
        return await is_file(self._storage, paths.revision_link(name, digest))

    async def get(self, name: str, digest: Digest) -> bytes:
        """Give the bytes as they were pushed.

        Raises:
            ManifestUnknownError: The repository does not have it.
        """
        if not await self.exists(name, digest):
            raise ManifestUnknownError(digest)
        try:
            return await self._blobs.get(digest)
        except BlobUnknownError:
            raise ManifestUnknownError(digest) from None

    async def put(self, name: str, digest: Digest, data: bytes) -> None:
        """Store a manifest, durable when it returns: the bytes first, then the link to them."""
        await self._blobs.put(digest, data)
        await write_link(self._storage, paths.revision_link(name, digest), digest)

    async def delete(self, name: str, digest: Digest) -> None:
        """Take a manifest out of the repository.

        Raises:
            ManifestUnknownError: The repository does not have it.
        """
        if not await delete_link(self._storage, paths.revision_link(name, digest)):
            raise ManifestUnknownError(digest)
