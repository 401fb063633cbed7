"""What belongs to an image: its manifests, and the blobs that they need."""

from __future__ import annotations

from dataclasses import dataclass

from storagedriver_core import at_once
from storagedriver_registry.client.errors import InvalidAnswerError
from storagedriver_registry.client.manifests import MOST_DEPTH, FetchedManifest, of_platform
from storagedriver_registry.client.platforms import Platform
from storagedriver_registry.client.transfer.places import Blob, Source
from storagedriver_registry.digest import Digest, InvalidDigestError, parse_digest
from storagedriver_registry.manifest import (
    Index,
    InvalidManifestError,
    listed_digests,
    parse_manifest,
)

_MOST_MANIFESTS = 10_000
"""More than any image has: who lists more wants to keep us busy."""

_MOST_BYTES = 64 << 20
"""Of all manifests of an image together, as they are in memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be copied.

    Attributes:
        manifests: Each after those that it needs; the last one is the root.
        blobs: Each once.
    """

    manifests: tuple[FetchedManifest, ...]
    blobs: tuple[Blob, ...]

    @property
    def root(self) -> FetchedManifest:
        """What the reference names."""
        return self.manifests[-1]


async def plan(
    source: Source, *, platform: Platform | None = None, referrers: bool = False
) -> Plan:
    """Read the manifests of an image, and list what they need.

    Args:
        source: Where it is.
        platform: The one that is wanted of an index; None for all of it.
        referrers: Whether what refers to its manifests is wanted as well.

    Raises:
        NotFoundError: A manifest is missing, or an index has none for the platform.
        InvalidAnswerError: A manifest is none, or there are more of them than any image has.
    """
    root = await source.root()
    if platform is not None:
        root = await of_platform(root, platform, source.manifest)
    found = _Found(source, with_referrers=referrers)
    await found.add(root, 0)
    return Plan(tuple(found.manifests.values()), tuple(found.blobs.values()))


class _Found:
    def __init__(self, source: Source, *, with_referrers: bool) -> None:
        self.manifests: dict[Digest, FetchedManifest] = {}
        self.blobs: dict[Digest, Blob] = {}
        self._source = source
        self._with_referrers = with_referrers
        self._seen: set[Digest] = set()
        self._fetched = 0
        self._bytes = 0

    async def add(self, manifest: FetchedManifest, depth: int) -> None:
        """Add a manifest after what it needs."""
        self._seen.add(manifest.digest)
        try:
            read = parse_manifest(manifest.data, manifest.media_type).manifest
        except InvalidManifestError as error:
            raise InvalidAnswerError(f"manifest {manifest.digest}: {error}") from None
        if isinstance(read, Index):
            await self._add_all(listed_digests(manifest.data), depth + 1)
        for one in read.required_blobs:
            if one.size is None:
                raise InvalidAnswerError(
                    f"manifest {manifest.digest}: it does not say the size of {one.digest}"
                )
            self.blobs.setdefault(one.digest, Blob(one.digest, one.size, one.media_type or ""))
        if self._with_referrers:
            listed = await self._source.referrers(manifest.digest)
            try:
                digests = [parse_digest(str(one.get("digest"))) for one in listed]
            except InvalidDigestError as error:
                raise InvalidAnswerError(f"a referrer of {manifest.digest}: {error}") from None
            await self._add_all(digests, depth + 1)
        self.manifests[manifest.digest] = manifest

    async def _add_all(self, digests: list[Digest], depth: int) -> None:
        fresh = [one for one in dict.fromkeys(digests) if one not in self._seen]
        # Before any is fetched: all of them would be in memory.
        self._fetched += len(fresh)
        if self._fetched > _MOST_MANIFESTS:
            raise InvalidAnswerError(f"an image of more than {_MOST_MANIFESTS} manifests")
        if fresh and depth > MOST_DEPTH:
            raise InvalidAnswerError(f"manifests in manifests, more than {MOST_DEPTH} deep")
        # Fetched at once, and added one after the other, so that the order is the index's.
        for manifest in await at_once(fresh, self._manifest):
            if manifest.digest not in self._seen:
                await self.add(manifest, depth)

    async def _manifest(self, digest: Digest) -> FetchedManifest:
        manifest = await self._source.manifest(digest)
        self._bytes += len(manifest.data)
        if self._bytes > _MOST_BYTES:
            raise InvalidAnswerError(f"manifests of more than {_MOST_BYTES} bytes in all")
        return manifest
