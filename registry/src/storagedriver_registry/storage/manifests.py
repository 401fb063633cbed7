"""Manifests: the revisions of a repository."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from storagedriver_core import PathNotFoundError, Storage, at_once
from storagedriver_registry.digest import ALGORITHMS, Digest, as_digest
from storagedriver_registry.manifest import listed_digests, named_digests, named_type, shape_type
from storagedriver_registry.storage import paths
from storagedriver_registry.storage.blobs import BlobStore
from storagedriver_registry.storage.caches import Caches, NamedContent
from storagedriver_registry.storage.condemned import Condemned
from storagedriver_registry.storage.descriptors import Descriptor
from storagedriver_registry.storage.errors import BlobUnknownError, ManifestUnknownError
from storagedriver_registry.storage.links import Links


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """One manifest.

    Attributes:
        digest: Its digest.
        data: The bytes as they were pushed.
        media_type: The type that it was pushed with.
    """

    digest: Digest
    data: bytes
    media_type: str


class ManifestStore:
    """Keeps manifests byte for byte, and the type of those that do not name it themselves."""

    def __init__(
        self,
        storage: Storage,
        links: Links,
        blobs: BlobStore,
        caches: Caches,
        condemned: Condemned,
    ) -> None:
        self._storage = storage
        self._links = links
        self._blobs = blobs
        self._condemned = condemned
        self._kept = caches.contents
        self._descriptors = caches.descriptors

    async def exists(self, name: str, digest: Digest) -> bool:
        """Tell whether the repository has the manifest."""
        return await self._links.exists(paths.revision_link(name, digest))

    async def content(self, name: str, digest: Digest) -> bytes:
        """Give the bytes of a manifest as they were pushed.

        Raises:
            ManifestUnknownError: The repository does not have it.
        """
        return (await self._content(name, digest)).data

    async def get(self, name: str, digest: Digest) -> StoredManifest:
        """Give a manifest.

        Raises:
            ManifestUnknownError: The repository does not have it.
        """
        content = await self._content(name, digest)
        media_type = content.media_type or await self._unnamed_type(name, digest, content.data)
        return StoredManifest(digest, content.data, media_type)

    async def describe(self, name: str, digest: Digest) -> Descriptor:
        """Give size and type of a manifest.

        Raises:
            ManifestUnknownError: The repository does not have it.
        """
        await self._require(name, digest)
        known = await self._descriptors.get(digest)
        if known is not None and known.media_type:
            return known
        content = await self._load(digest)
        media_type = content.media_type or await self._unnamed_type(name, digest, content.data)
        return Descriptor(len(content.data), media_type)

    async def media_type(self, name: str, digest: Digest, data: bytes) -> str:
        """Give the type of a manifest of the repository; asks the store if `data` names none."""
        return named_type(data) or await self._unnamed_type(name, digest, data)

    async def put(
        self, name: str, manifest: StoredManifest, *, keep_type: bool
    ) -> frozenset[Digest]:
        """Store a manifest, durable when it returns: the bytes first, the link to them last.

        What it names stays from then on, whoever collects garbage.

        Args:
            name: The repository.
            manifest: The manifest.
            keep_type: Whether its type has to be kept, since the bytes do not name it.

        Returns:
            What it names, was garbage, and is gone by now.

        Raises:
            ManifestUnknownError: It was garbage, and was deleted while it was stored again.
        """
        digest = manifest.digest
        await self._condemned.release_revision(name, digest)
        await self._blobs.put(digest, manifest.data)
        if keep_type:
            await self._storage.put_content(
                paths.revision_media_type(name, digest), manifest.media_type.encode()
            )
        await self._links.write(paths.revision_link(name, digest), digest)
        return await self._keep(name, digest, manifest.data)

    async def delete(self, name: str, digest: Digest) -> None:
        """Take a manifest out of the repository.

        The type that was kept for it stays, so that no push at the same time loses it.

        Raises:
            ManifestUnknownError: The repository does not have it.
        """
        if not await self._links.delete(paths.revision_link(name, digest)):
            raise ManifestUnknownError(digest)

    async def all(self, name: str) -> AsyncGenerator[Digest, None]:
        """Give the digests of a repository's manifests, in no order."""
        for algorithm in ALGORITHMS:
            try:
                async for entry in self._storage.list(paths.revisions(name, algorithm)):
                    digest = as_digest(f"{algorithm}:{entry.path.rpartition('/')[2]}")
                    # What was deleted may have left its directory.
                    if digest is not None and await self.exists(name, digest):
                        yield digest
            except PathNotFoundError:
                pass

    async def _keep(self, name: str, digest: Digest, data: bytes) -> frozenset[Digest]:
        """See to it that a linked manifest stays, with what it names; give what is gone."""
        if not await self._condemned.are_any():
            return frozenset()

        async def lost_revision(one: Digest) -> Digest | None:
            return None if await self._condemned.keep_revision(name, one) else one

        async def lost_blob(one: Digest) -> Digest | None:
            return None if await self._condemned.keep_blob(one) else one

        if await lost_revision(digest) or await lost_blob(digest):
            raise ManifestUnknownError(digest)
        lost = await at_once(listed_digests(data), lost_revision)
        lost += await at_once(named_digests(data), lost_blob)
        return frozenset(one for one in lost if one is not None)

    async def _require(self, name: str, digest: Digest) -> None:
        if not await self.exists(name, digest):
            raise ManifestUnknownError(digest)

    async def _content(self, name: str, digest: Digest) -> NamedContent:
        await self._require(name, digest)
        return await self._load(digest)

    async def _load(self, digest: Digest) -> NamedContent:
        """Give a manifest, whoever has it."""
        kept = self._kept.get(digest)
        if kept is not None and kept.media_type is not None:
            return kept
        try:
            data = await self._blobs.get(digest) if kept is None else kept.data
        except BlobUnknownError:
            raise ManifestUnknownError(digest) from None
        loaded = NamedContent(data, _named_type(data))
        self._kept.put(digest, loaded, len(data))
        if loaded.media_type:
            await self._descriptors.put(digest, Descriptor(len(data), loaded.media_type))
        return loaded

    async def _unnamed_type(self, name: str, digest: Digest, data: bytes) -> str:
        """Give the type of a manifest that names none."""
        return await self._kept_type(name, digest) or shape_type(data)

    async def _kept_type(self, name: str, digest: Digest) -> str | None:
        try:
            content = await self._storage.get_content(paths.revision_media_type(name, digest))
        except PathNotFoundError:
            return None
        return content.decode("latin-1")


def _named_type(data: bytes) -> str:
    """Give the type that a manifest names; empty if none, or if it is no JSON."""
    try:
        return named_type(data) or ""
    except ValueError:
        return ""
